//! A real mosquitto that trusts only the root, with the configuration that operators get.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::{MessageType, SigningAlgorithmSpec};
use birthcert_local::state::{CREDENTIAL, REGION};
use birthcert_tests::api::{Enrolled, Released};
use birthcert_tests::counterparties::{Counterparties, Pair, binary};
use birthcert_tests::env::Env;
use birthcert_tests::mosquitto::Mosquitto;
use birthcert_tests::mqtt_client::{MqttClient, Outcome};
use birthcert_tests::openssl::{self, Purpose, Verdict};
use birthcert_tests::pkilint;
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

pub(crate) fn tests() -> Vec<crate::Paired> {
    crate::paired![
        a_device_publishes_and_subscribes_to_its_own_topics,
        devices_connect_with_keys_of_their_own,
        nobody_else_gets_a_session,
        the_brokers_certificate_verifies,
    ]
}

/// Long enough for a message that comes; each that should not come costs it.
const WAIT: Duration = Duration::from_secs(2);

/// An authority and a broker that trusts only its root.
pub(crate) struct Fleet {
    pub(crate) env: Env,
    broker: Mosquitto,
    folder: TempDir,
}

impl Fleet {
    async fn start(counterparties: &Counterparties, pair: Pair) -> anyhow::Result<Self> {
        Self::around(Env::start(counterparties, pair).await?).await
    }

    pub(crate) async fn around(env: Env) -> anyhow::Result<Self> {
        let folder = TempDir::new()?;
        issue_broker(&env, folder.path()).await?;
        let broker = Mosquitto::start(folder.path()).await?;
        Ok(Self { env, broker, folder })
    }

    pub(crate) async fn device(&self) -> anyhow::Result<(Enrolled, MqttClient)> {
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
    ) -> anyhow::Result<MqttClient> {
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

    fn with(&self, identity: Option<(PathBuf, PathBuf)>) -> MqttClient {
        let cafile = self.folder.path().join("root.pem");
        MqttClient { port: self.broker.port(), cafile, identity }
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
    counterparties: &Counterparties,
    pair: Pair,
) -> anyhow::Result<()> {
    let fleet = Fleet::start(counterparties, pair).await?;
    let (alice, alices) = fleet.device().await?;
    let (bob, bobs) = fleet.device().await?;
    let topic = |device: &Enrolled| format!("devices/{}/telemetry", device.device_id);

    ensure!(alices.publish(&topic(&alice), "21.5").await? == Outcome::Published);
    ensure!(alices.subscribe_one(&topic(&alice), WAIT).await? == Outcome::Received("21.5".into()));
    // Another's topics are closed, in both directions, and so is everything outside.
    ensure!(bobs.publish(&topic(&alice), "0").await? == Outcome::Denied);
    ensure!(bobs.publish("telemetry", "0").await? == Outcome::Denied);
    ensure!(bobs.subscribe_one(&topic(&alice), WAIT).await? == Outcome::Nothing);
    ensure!(bobs.subscribe_one("#", WAIT).await? == Outcome::Nothing);
    ensure!(alices.subscribe_one(&topic(&alice), WAIT).await? == Outcome::Received("21.5".into()));
    ensure!(bobs.publish(&topic(&bob), "19.0").await? == Outcome::Published);
    Ok(())
}

async fn devices_connect_with_keys_of_their_own(
    counterparties: &Counterparties,
    pair: Pair,
) -> anyhow::Result<()> {
    let fleet = Fleet::start(counterparties, pair).await?;
    for kind in [
        "-algorithm EC -pkeyopt ec_paramgen_curve:P-256",
        "-algorithm EC -pkeyopt ec_paramgen_curve:P-384",
        "-algorithm ED25519",
        "-algorithm RSA -pkeyopt rsa_keygen_bits:2048",
    ] {
        let device = fleet.env.api.enrolled(&fleet.env.token).await?;
        let id = device.device_id.to_string();
        let key = fleet.env.scratch.path().join(format!("{id}-own.pem"));
        openssl::new_key(&key, kind).await?;
        let csr = openssl::request(&key, "").await?;
        let certified = fleet.env.api.certified(&device, &csr).await?;
        let chain = fleet.write(&id, &certified.certificate_chain_pem, "")?.0;
        let client = fleet.with(Some((chain, key)));
        let topic = format!("devices/{id}/telemetry");
        let published = client.publish(&topic, "21.5").await?;
        ensure!(published == Outcome::Published, "{kind}: {published:?} {}", fleet.broker.log());
        ensure!(client.publish("devices/another/x", "0").await? == Outcome::Denied);
    }
    Ok(())
}

async fn nobody_else_gets_a_session(
    counterparties: &Counterparties,
    pair: Pair,
) -> anyhow::Result<()> {
    let fleet = Fleet::start(counterparties, pair).await?;
    let env = &fleet.env;
    let (device, client) = fleet.device().await?;
    let topic = format!("devices/{}/x", device.device_id);
    let refused = |client: MqttClient| {
        let topic = topic.clone();
        async move { client.publish(&topic, "x").await }
    };
    ensure!(client.publish(&topic, "x").await? == Outcome::Published);

    ensure!(refused(fleet.with(None)).await? == Outcome::BrokerRefused, "without a certificate");

    // The leaf alone: the broker trusts only the root and misses the link between.
    let identity = env.api.released(&device).await?;
    let leaf_only = fleet.client(&device, &identity, &identity.device_certificate_pem)?;
    ensure!(refused(leaf_only).await? == Outcome::BrokerRefused, "leaf only");
    let whole = fleet.client(&device, &identity, &identity.certificate_chain_pem)?;
    ensure!(refused(whole).await? == Outcome::Published, "leaf and subordinate");

    // A device of another authority, which speaks to its own broker all right.
    let other = Env::start(counterparties, pair).await?;
    let stranger = other.api.enrolled(&other.token).await?;
    let identity = other.api.released(&stranger).await?;
    let strangers = fleet.client(&stranger, &identity, &identity.certificate_chain_pem)?;
    ensure!(refused(strangers.clone()).await? == Outcome::BrokerRefused, "another CA's");
    let trusting_its_own = fleet.write("other-root", &identity.ca_certificate_pem, "")?.0;
    let strangers = MqttClient { cafile: trusting_its_own, ..strangers };
    ensure!(refused(strangers).await? == Outcome::ClientRefused, "another CA's broker");

    // The broker's own certificate is no client's.
    let folder = fleet.folder.path();
    let brokers = (folder.join("broker-chain.pem"), folder.join("broker-key.pem"));
    ensure!(refused(fleet.with(Some(brokers))).await? == Outcome::BrokerRefused, "the broker's");

    // Nor is one that the server CA was made to sign for the device's name, as a client's.
    let (chain, key) = forged_by_the_server_ca(env, &device).await?;
    let files = fleet.write("forged", &chain, &key)?;
    ensure!(refused(fleet.with(Some(files))).await? == Outcome::BrokerRefused, "the server CA's");
    let log = fleet.broker.log();
    ensure!(log.contains("certificate verify failed") || log.contains("unsupported"), "{log}");
    Ok(())
}

/// What the product never does: a device's certificate signed with the key of the server CA.
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
    counterparties: &Counterparties,
    pair: Pair,
) -> anyhow::Result<()> {
    let env = Env::start(counterparties, pair).await?;
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
    ensure!(matches!(verdict, Verdict::Rejected(_)), "accepted as a client");
    let text = openssl::text(&leaf).await?;
    ensure!(text.contains("DNS:broker.example.com, IP Address:127.0.0.1"), "{text}");
    Ok(())
}
