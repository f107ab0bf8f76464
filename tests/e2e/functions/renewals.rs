//! Renewals of brokers' certificates that fail, or come after a revocation.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use birthcert_tests::aws::emulators::{Backend, Emulators};
use birthcert_tests::aws::proxy::Fault;
use birthcert_tests::env::Env;
use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;
use ledger::kms::Signer;
use ledger::store::{IssuanceRequest, LedgerEntry};
use ledger::{Deadline, Issuer, OperatorError};
use pki::authority::Authority;
use pki::clock::Timestamp;
use pki::crl::RevocationReason;
use pki::key::KeyPair;
use pki::names::Host;
use pki::profile::{Role, Service};

pub(crate) fn tests() -> Vec<crate::suite::BackendTest> {
    crate::suite::per_backend![
        a_failed_renewal_leaves_the_certificate,
        a_certificate_revoked_after_its_expiry_is_not_renewed,
    ]
}

/// A broker, and the CA that issues to it.
struct Broker {
    env: Env,
    authority: Authority,
    signer: Signer,
    service: Service,
}

impl Broker {
    async fn start(emulators: &Emulators, backend: Backend) -> anyhow::Result<Self> {
        let env = Env::start(emulators, backend).await?;
        let record = env.store.authority("server").await?.context("the CA")?;
        let authority = Authority::try_from(record)?;
        let signer = Signer::new(env.config.aws.kms()?, authority.key_arn());
        let host = Host::dns("mqtt.example.com")?;
        let service = Service::new(Role::Server, host.clone(), vec![host])?;
        Ok(Self { env, authority, signer, service })
    }

    /// Issues a certificate that renews the one with the serial number `renews`. Returns its own.
    async fn issue(&self, renews: Option<&str>) -> Result<String, ledger::Error> {
        let rng = &mut UnwrapErr(SysRng);
        let Self { env, authority, signer, service } = self;
        let issuer = Issuer { authority, signer, store: &env.store };
        let request = IssuanceRequest::Service { service, validity_days: 90, renews };
        let key = KeyPair::generate(rng).public_key()?;
        let deadline = Deadline::after(Duration::from_secs(20));
        let now = Timestamp::now();
        let certificate = ledger::issue(issuer, request, key, now, deadline, rng).await?;
        Ok(certificate.serial_number().to_owned())
    }

    async fn entry(&self, serial_number: &str) -> anyhow::Result<LedgerEntry> {
        let all = self.env.store.service_certificates().await?;
        let found = all.into_iter().find(|it| it.entry.serial_number == serial_number);
        Ok(found.context("the entry")?.entry)
    }
}

async fn a_failed_renewal_leaves_the_certificate(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let broker = Broker::start(emulators, backend).await?;
    let first = broker.issue(None).await?;
    broker.env.kms.fail("Sign", Fault::Away);
    ensure!(broker.issue(Some(&first)).await.is_err_and(|error| error.is_transient()));
    broker.env.kms.mend();
    ensure!(broker.entry(&first).await?.superseded_at.is_none(), "listed as renewed");
    broker.issue(Some(&first)).await?;
    let renewed = broker.entry(&first).await?;
    ensure!(renewed.superseded_at.is_some() && renewed.revoked_at.is_none(), "{renewed:?}");
    Ok(())
}

async fn a_certificate_revoked_after_its_expiry_is_not_renewed(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let broker = Broker::start(emulators, backend).await?;
    let serial = broker.issue(None).await?;
    let long_after = Timestamp::now().plus(100 * 24 * 60 * 60);
    let (name, reason) = (broker.service.common_name(), RevocationReason::KeyCompromise);
    let revoked = broker.env.store.revoke_service(name, None, reason, long_after).await?;
    ensure!(revoked == 1, "{revoked}");
    let error = broker.issue(Some(&serial)).await.err().context("it was renewed")?;
    ensure!(
        matches!(error, ledger::Error::Operator(OperatorError::Revoked(_))),
        "refused for another reason: {error}"
    );
    Ok(())
}
