//! A real mosquitto that trusts only the root, with the configuration that operators get.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::{MessageType, SigningAlgorithmSpec};
use birthcert_local::stack::{CREDENTIAL, REGION};
use birthcert_tests::api::{Enrolled, Released};
use birthcert_tests::aws::emulators::{Backend, Emulators};
use birthcert_tests::brokers::mosquitto::Mosquitto;
use birthcert_tests::env::Env;
use birthcert_tests::mqtt::mosquitto_clients::{MosquittoClient, Outcome};
use birthcert_tests::process::binary;
use birthcert_tests::verifiers::openssl::{self, Purpose, Verdict};
use birthcert_tests::verifiers::pkilint;
use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;
use pki::authority::Authority;
use pki::clock::Timestamp;
use pki::key::KeyKinds;
use pki::key::KeyPair;
use pki::lint::lint;
use pki::profile::{self, Device, Profile};
use pki::signing::CaSignature;
use tempfile::TempDir;
use tokio::process::Command;

pub(crate) fn tests() -> Vec<crate::suite::BackendTest> {
    crate::suite::per_backend![
        a_device_publishes_and_subscribes_to_its_own_topics,
        devices_connect_with_keys_of_their_own,
        nobody_else_gets_a_session,
        the_brokers_certificate_verifies,
    ]
}

/// Long enough for a message to arrive; each message that must not arrive costs this time.
const WAIT: Duration = Duration::from_secs(2);

/// An [`Env`] and a broker that trusts only its root.
pub(crate) struct EnvWithBroker {
    pub(crate) env: Env,
    broker: Mosquitto,
    folder: TempDir,
}

impl EnvWithBroker {
    async fn start(emulators: &Emulators, backend: Backend) -> anyhow::Result<Self> {
        Self::around(Env::start(emulators, backend).await?).await
    }

    pub(crate) async fn around(env: Env) -> anyhow::Result<Self> {
        let folder = TempDir::new()?;
        issue_broker(&env, folder.path()).await?;
        let broker = Mosquitto::start(folder.path()).await?;
        Ok(Self { env, broker, folder })
    }

    pub(crate) async fn device(&self) -> anyhow::Result<(Enrolled, MosquittoClient)> {
        let device = self.env.api.enrolled(&self.env.token).await?;
        let identity = self.env.api.released(&device).await?;
        let client = self.client(&device, &identity, &identity.certificate_chain_pem)?;
        Ok((device, client))
    }

    fn client(
        &self,
        device: &Enrolled,
        identity: &Released,
        chain: &str,
    ) -> anyhow::Result<MosquittoClient> {
        let files =
            self.write(&device.device_id.to_string(), chain, &identity.device_private_key_pem)?;
        Ok(self.with(Some(files)))
    }

    fn write(&self, name: &str, chain: &str, key: &str) -> anyhow::Result<(PathBuf, PathBuf)> {
        let folder = self.env.scratch.path();
        let files = (folder.join(format!("{name}.pem")), folder.join(format!("{name}-key.pem")));
        fs::write(&files.0, chain)?;
        fs::write(&files.1, key)?;
        Ok(files)
    }

    fn with(&self, identity: Option<(PathBuf, PathBuf)>) -> MosquittoClient {
        let cafile = self.folder.path().join("root.pem");
        MosquittoClient { port: self.broker.port(), cafile, identity }
    }
}

/// `birthcert broker issue`, as an operator runs it.
async fn issue_broker(env: &Env, folder: &Path) -> anyhow::Result<()> {
    let aws = &env.config.aws;
    let issue = Command::new(binary("birthcert")?)
        .args([
            "broker",
            "issue",
            "--dns",
            "broker.example.com",
            "--ip",
            "127.0.0.1",
            "--directory",
        ])
        .arg(folder)
        .env("BIRTHCERT_TABLE", &env.config.table_name)
        .env("AWS_REGION", REGION)
        .env("AWS_ACCESS_KEY_ID", CREDENTIAL)
        .env("AWS_SECRET_ACCESS_KEY", CREDENTIAL)
        .env("AWS_ENDPOINT_URL_DYNAMODB", aws.endpoint_dynamodb.as_deref().context("set")?)
        .env("AWS_ENDPOINT_URL_KMS", aws.endpoint_kms.as_deref().context("set")?)
        .output()
        .await?;
    ensure!(issue.status.success(), "{}", String::from_utf8_lossy(&issue.stderr));
    Ok(())
}

async fn a_device_publishes_and_subscribes_to_its_own_topics(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let setup = EnvWithBroker::start(emulators, backend).await?;
    let (alice, alices) = setup.device().await?;
    let (bob, bobs) = setup.device().await?;
    let topic = |device: &Enrolled| format!("devices/{}/telemetry", device.device_id);

    ensure!(alices.publish(&topic(&alice), "21.5").await? == Outcome::Published);
    ensure!(alices.subscribe_one(&topic(&alice), WAIT).await? == Outcome::Received("21.5".into()));
    // The topics of others are closed in both directions, and so is everything outside of
    // `devices/`.
    ensure!(bobs.publish(&topic(&alice), "0").await? == Outcome::Denied);
    ensure!(bobs.publish("telemetry", "0").await? == Outcome::Denied);
    ensure!(bobs.subscribe_one(&topic(&alice), WAIT).await? == Outcome::Nothing);
    ensure!(bobs.subscribe_one("#", WAIT).await? == Outcome::Nothing);
    ensure!(alices.subscribe_one(&topic(&alice), WAIT).await? == Outcome::Received("21.5".into()));
    ensure!(bobs.publish(&topic(&bob), "19.0").await? == Outcome::Published);
    Ok(())
}

async fn devices_connect_with_keys_of_their_own(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let setup = EnvWithBroker::start(emulators, backend).await?;
    for kind in [
        "-algorithm EC -pkeyopt ec_paramgen_curve:P-256",
        "-algorithm EC -pkeyopt ec_paramgen_curve:P-384",
        "-algorithm ED25519",
        "-algorithm RSA -pkeyopt rsa_keygen_bits:2048",
    ] {
        let device = setup.env.api.enrolled(&setup.env.token).await?;
        let id = device.device_id.to_string();
        let key = setup.env.scratch.path().join(format!("{id}-own.pem"));
        openssl::new_key(&key, kind).await?;
        let csr = openssl::request(&key, "").await?;
        let certified = setup.env.api.certified(&device, &csr).await?;
        let chain = setup.write(&id, &certified.certificate_chain_pem, "")?.0;
        let client = setup.with(Some((chain, key)));
        let topic = format!("devices/{id}/telemetry");
        let published = client.publish(&topic, "21.5").await?;
        ensure!(published == Outcome::Published, "{kind}: {published:?} {}", setup.broker.log());
        ensure!(client.publish("devices/another/x", "0").await? == Outcome::Denied);
    }
    Ok(())
}

async fn nobody_else_gets_a_session(emulators: &Emulators, backend: Backend) -> anyhow::Result<()> {
    let setup = EnvWithBroker::start(emulators, backend).await?;
    let env = &setup.env;
    let (device, client) = setup.device().await?;
    let topic = format!("devices/{}/x", device.device_id);
    let refused = |client: MosquittoClient| {
        let topic = topic.clone();
        async move { client.publish(&topic, "x").await }
    };
    ensure!(client.publish(&topic, "x").await? == Outcome::Published);

    ensure!(refused(setup.with(None)).await? == Outcome::BrokerRefused, "without a certificate");

    // The leaf alone: the broker trusts only the root and misses the subordinate.
    let identity = env.api.released(&device).await?;
    let leaf_only = setup.client(&device, &identity, &identity.device_certificate_pem)?;
    ensure!(refused(leaf_only).await? == Outcome::BrokerRefused, "leaf only");
    let whole = setup.client(&device, &identity, &identity.certificate_chain_pem)?;
    ensure!(refused(whole).await? == Outcome::Published, "leaf and subordinate");

    // A device of another authority, which its own broker accepts.
    let other = Env::start(emulators, backend).await?;
    let stranger = other.api.enrolled(&other.token).await?;
    let identity = other.api.released(&stranger).await?;
    let strangers = setup.client(&stranger, &identity, &identity.certificate_chain_pem)?;
    ensure!(refused(strangers.clone()).await? == Outcome::BrokerRefused, "another CA's");
    let trusting_its_own = setup.write("other-root", &identity.ca_certificate_pem, "")?.0;
    let strangers = MosquittoClient { cafile: trusting_its_own, ..strangers };
    ensure!(refused(strangers).await? == Outcome::ClientRefused, "another CA's broker");

    // The broker's own certificate is not valid for clients.
    let folder = setup.folder.path();
    let brokers = (folder.join("broker-chain.pem"), folder.join("broker-key.pem"));
    ensure!(refused(setup.with(Some(brokers))).await? == Outcome::BrokerRefused, "the broker's");

    // Nor is a client certificate with the device's name that the server CA was made to sign.
    let (chain, key) = forged_by_the_server_ca(env, &device).await?;
    let files = setup.write("forged", &chain, &key)?;
    ensure!(refused(setup.with(Some(files))).await? == Outcome::BrokerRefused, "the server CA's");
    let log = setup.broker.log();
    ensure!(log.contains("certificate verify failed") || log.contains("unsupported"), "{log}");
    Ok(())
}

/// Signs a device certificate with the key of the server CA, which the product never does.
async fn forged_by_the_server_ca(env: &Env, device: &Enrolled) -> anyhow::Result<(String, String)> {
    let record = env.store.authority("server").await?.context("the server CA")?;
    let authority = Authority::try_from(record)?;
    let rng = &mut UnwrapErr(SysRng);
    let key = KeyPair::generate(rng);
    let profile = Profile::Device(Device {
        id: device.device_id,
        organization: None,
        key_kinds: KeyKinds::all(),
    });
    let now = Timestamp::now();
    let until = now.plus(60 * 60);
    let tbs = profile::build(&profile, authority.issued_by(), key.public_key()?, now, until, rng)?;
    let tbs = lint(tbs)?;
    let sign = env.config.aws.kms()?.sign().key_id(authority.key_arn());
    let signed = sign
        .message_type(MessageType::Digest)
        .signing_algorithm(SigningAlgorithmSpec::EcdsaSha256)
        .message(Blob::new(tbs.digest().as_slice()))
        .send()
        .await?;
    let signature = CaSignature::try_from(signed.signature.context("signed")?.as_ref())?;
    let certificate = tbs.with_signature(&signature)?.verify(authority.certificate().key())?;
    let chain = format!("{}{}", certificate.pem()?, authority.certificate().pem());
    Ok((chain, key.private_key_pem()?.to_string()))
}

async fn the_brokers_certificate_verifies(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    let folder = TempDir::new()?;
    issue_broker(&env, folder.path()).await?;
    let chain = fs::read_to_string(folder.path().join("broker-chain.pem"))?;
    let end = "-----END CERTIFICATE-----\n";
    let (leaf, subordinate) = chain.split_once(end).context("two certificates")?;
    let leaf = format!("{leaf}{end}");
    for certificate in [leaf.as_str(), subordinate] {
        pkilint::lint(certificate).await?;
    }
    let verdict = openssl::verify(&leaf, subordinate, &env.root_pem, Purpose::Server).await?;
    ensure!(verdict == Verdict::Accepted, "{verdict:?}");
    let verdict = openssl::verify(&leaf, subordinate, &env.root_pem, Purpose::Client).await?;
    ensure!(verdict.is_another_purpose(), "accepted as a client: {verdict:?}");
    let text = openssl::text(&leaf).await?;
    ensure!(text.contains("DNS:broker.example.com, IP Address:127.0.0.1"), "{text}");
    Ok(())
}
