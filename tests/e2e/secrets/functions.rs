//! The functions as they ship, called as Lambda calls them.

use std::fs::{self, File};
use std::path::Path;

use anyhow::ensure;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use birthcert_tests::api::{Enrolled, Released};
use birthcert_tests::aws::emulators::{Backend, Emulators};
use birthcert_tests::aws::proxy::Fault;
use birthcert_tests::env::Env;
use birthcert_tests::lambda::function;
use birthcert_tests::lambda::runtime_api::{Runtime, RuntimeApi};
use birthcert_tests::process::binary;
use birthcert_tests::secrets::{Secret, Traces};
use pki::clock::Timestamp;
use pki::crl::RevocationReason::KeyCompromise;
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use super::verbose::VERBOSE;

pub(crate) fn tests() -> Vec<crate::suite::BackendTest> {
    crate::suite::per_backend![functions_log_and_store_no_secret]
}

const ENROLL: &str = include_str!("../../../events/enroll.json");
const IDENTITY: &str = include_str!("../../../events/identity.json");
const CSR: &str = include_str!("../../../events/identity-csr.json");

/// A function at work. Its output is in a file.
struct Program {
    runtime: Runtime,
    _child: Child,
}

impl Program {
    async fn start(name: &str, env: &Env, output: &Path) -> anyhow::Result<Self> {
        let api = RuntimeApi::bind().await?;
        let output = File::create(output)?;
        let child = Command::new(binary(name)?)
            .env_clear()
            .envs(function::environment(env, api.address()?))
            .envs(VERBOSE)
            .stdout(output.try_clone()?)
            .stderr(output)
            .kill_on_drop(true)
            .spawn()?;
        Ok(Self { runtime: api.accept().await?, _child: child })
    }

    /// Returns the body of the function's response to this event.
    async fn answers(&mut self, event: &str, status: u16) -> anyhow::Result<String> {
        let response: Value = serde_json::from_str(&self.runtime.invoke(event).await?)?;
        ensure!(response["statusCode"] == status, "{response}");
        let body = response["body"].as_str().unwrap_or_default();
        Ok(match response["isBase64Encoded"] == true {
            true => String::from_utf8(STANDARD.decode(body)?)?,
            false => body.to_owned(),
        })
    }
}

async fn functions_log_and_store_no_secret(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    let logs = env.scratch.path().join("logs");
    fs::create_dir(&logs)?;
    let mut enroll = Program::start("enroll", &env, &logs.join("enroll")).await?;
    let mut identity = Program::start("identity", &env, &logs.join("identity")).await?;
    let mut crl = Program::start("crl", &env, &logs.join("crl")).await?;

    let token = env.token.expose();
    let mut secrets = vec![Secret::token("the enrollment token", &token)?];
    let event = ENROLL.replace("ENROLLMENT_TOKEN", &token);
    let device: Enrolled = serde_json::from_str(&enroll.answers(&event, 200).await?)?;
    secrets.push(Secret::token("the device token", &device.device_token)?);
    let event = IDENTITY.replace("DEVICE_TOKEN", &device.device_token);
    let mut key = String::new();
    for _ in 0..2 {
        let released: Released = serde_json::from_str(&identity.answers(&event, 200).await?)?;
        key = released.device_private_key_pem;
        secrets.push(Secret::key("the device's key", &key)?);
    }

    // Refused, with secrets where they do not belong.
    enroll.answers(&ENROLL.replace("ENROLLMENT_TOKEN", &device.device_token), 401).await?;
    identity.answers(&IDENTITY.replace("DEVICE_TOKEN", &token), 401).await?;
    let mut with_key: Value =
        serde_json::from_str(&CSR.replace("DEVICE_TOKEN", &device.device_token))?;
    with_key["body"] = STANDARD.encode(&key).into();
    with_key["isBase64Encoded"] = true.into();
    identity.answers(&with_key.to_string(), 400).await?;

    // While AWS fails: what the SDK reports then is logged as the cause.
    for (fault, status) in [
        (Fault::Away, 503),
        (Fault::Refused, 503),
        (Fault::Throttled, 503),
        (Fault::WrongSignature, 500),
    ] {
        env.kms.fail("Sign", fault);
        identity.answers(&event, status).await?;
        env.kms.mend();
    }
    for fault in [Fault::Away, Fault::Refused, Fault::ServerError] {
        for operation in ["UpdateItem", "PutItem", "TransactWriteItems"] {
            env.dynamodb.fail(operation, fault);
        }
        enroll.answers(&ENROLL.replace("ENROLLMENT_TOKEN", &token), 503).await?;
        identity.answers(&event, 503).await?;
        env.dynamodb.mend();
    }

    env.store.revoke_device(device.device_id, KeyCompromise, Timestamp::now()).await?;
    env.store.request_crl("device", Timestamp::now()).await?;
    let keys = json!({ "PK": { "S": "CRL#REQUEST" }, "SK": { "S": "device" } });
    let changed = json!({ "Records": [{ "dynamodb": { "Keys": keys } }] }).to_string();
    ensure!(crl.runtime.invoke(&changed).await? == "null");
    identity.answers(&event, 401).await?;

    let mut traces = Traces::default();
    traces.add_files("logs", &logs)?;
    for name in ["enroll", "identity", "crl"] {
        let log = fs::read_to_string(logs.join(name))?;
        ensure!(log.contains("\"event\":"), "{name} logged nothing: {log}");
    }
    traces.add_table(&env.direct.aws, &env.config.table_name).await?;
    traces.hold_no_others(&secrets)
}
