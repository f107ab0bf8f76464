//! `birthcert ca subordinate`: requests, certifies and activates a CA on one machine.

use pki::{
    authority::{Authority, AuthorityRecord, CaCertificate},
    csr::VerifiedCsr,
};

use super::{
    activate::{expect_no_ca, print, step},
    certified_ca::CrlUrlOption,
    certify::Certification,
    naming::NameOptions,
    request::{KmsKeyOption, make_request},
    url::https_remark,
};
use crate::{
    ceremony::{authorities::activate_first, consent::Consent, plan::Plan, transcript::Transcript},
    context::Context,
    crl,
    options::root::RootOptions,
};

pub(super) const EXAMPLES: &str = "\
Example:
  # The CA for clients of brokers, with a root on this machine
  birthcert ca subordinate --usage service --root root --yes";

#[derive(clap::Args)]
pub(crate) struct SubordinateCommand {
    #[command(flatten)]
    naming: NameOptions,
    #[command(flatten)]
    key: KmsKeyOption,
    #[command(flatten)]
    certification: Certification,
    #[command(flatten)]
    distribution: CrlUrlOption,
    #[command(flatten)]
    consent: Consent,
}

impl SubordinateCommand {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<()> {
        let Self { naming, key, certification, distribution, consent } = self;
        let (name, now) = (naming.name()?, context.now);
        expect_no_ca(context, name.usage()).await?;
        let key = key.find(context, &name).await?;
        let terms = certification.terms(&naming)?;
        let (public_key, state) = key.public_key(context).await?;
        let root = certification.certificate()?;
        context.pinned_roots(&RootOptions::default())?.check(&name, &root)?;
        let draft = terms.draft(root.as_issuer(None), public_key, state, now)?;
        let plan = Plan::new()
            .step(key.step())
            .step(certification.step())
            .step(step(context, &name))
            .remarks(terms.remark())
            .remarks(https_remark(distribution.crl_url.as_deref()))
            .certificate(draft);
        if !consent.given_or_print(context.output, plan)? {
            return Ok(());
        }

        // Before the key is created in KMS: a wrong passphrase leaves nothing behind.
        let root = certification.open()?;
        let request = make_request(context, &naming, key).await?;
        let csr = VerifiedCsr::from_pem(&request.csr_pem).map_err(anyhow::Error::msg)?;
        let transcript = Transcript::begin("ca subordinate", certification.directory())?;
        let (certificate_pem, _) = transcript.record(|transcript| {
            let pem = root.certify(&csr, &terms.subordinate(now), now)?;
            transcript.step(certification.step());
            let certificate = CaCertificate::from_pem(&pem).map_err(anyhow::Error::msg)?;
            transcript.certificate(certificate.der())?;
            Ok(pem)
        })?;
        let record = AuthorityRecord {
            name,
            key_arn: request.key_arn,
            certificate_pem,
            intermediates_pem: None,
            root_pem: root.certificate().pem().to_owned(),
            crl_url: distribution.crl_url,
            created_at: now,
        };
        let activation = activate_first(&context.store, &context.kms, record.clone(), now).await?;
        crl::request(context, &record.name).await?;
        print(context, &Authority::try_from(record)?, activation, None)
    }
}
