//! Metrics in a function's log, in the format that CloudWatch reads.

use std::sync::{Arc, Mutex};

use anyhow::{Context as _, ensure};
use birthcert_tests::aws::emulators::{Backend, Emulators};
use birthcert_tests::aws::proxy::Fault;
use birthcert_tests::env::{Env, Setup, YEAR};
use crl::Publisher;
use enroll::Enroll;
use identity::Identity;
use lambda::runtime::Runtime;
use lambda::stream;
use lambda_http::{Context, LambdaEvent};
use ledger::store::TokenStatus;
use pki::token::DeviceToken;
use serde_json::{Value, json};

pub(crate) fn tests() -> Vec<crate::suite::BackendTest> {
    crate::suite::per_backend![
        calls_throttles_and_errors_are_counted_with_the_request,
        a_short_ca_is_not_about_to_end,
        crls_are_counted_by_ca,
    ]
}

static LOG: Mutex<Vec<String>> = Mutex::new(Vec::new());
const WORLD: Runtime =
    Runtime { log: |line| LOG.lock().unwrap().push(line.to_owned()), ..Runtime::LAMBDA };

/// Returns the log line of an event in `events/`, with `token` in place of `placeholder`.
macro_rules! line {
    ($function:ident, $env:ident, $event:literal, $placeholder:literal, $token:expr) => {{
        let event = include_str!(concat!("../../../events/", $event, ".json"));
        let event = event.replace($placeholder, $token);
        // The request id tells the line from those of concurrent tests.
        let id = format!("metrics-{}", pki::names::DeviceId::generate(&mut rng()));
        let mut event: Value = serde_json::from_str(&event)?;
        event["requestContext"]["requestId"] = id.as_str().into();
        let mut context = Context::default();
        context.env_config = Arc::new(lambda_http::lambda_runtime::Config {
            function_name: concat!("fleet-", $event).to_owned(),
            ..Default::default()
        });
        let event = LambdaEvent::new(serde_json::from_str(&event.to_string())?, context);
        let answer =
            lambda::function::answer(event, WORLD, |request| $function.handle(request)).await;
        drop(answer.map_err(anyhow::Error::from_boxed)?);
        let log = LOG.lock().unwrap();
        let line = log.iter().find(|line| line.contains(&id)).context("nothing was logged")?;
        serde_json::from_str::<Value>(line)?
    }};
}

fn rng() -> getrandom::rand_core::UnwrapErr<getrandom::SysRng> {
    getrandom::rand_core::UnwrapErr(getrandom::SysRng)
}

async fn calls_throttles_and_errors_are_counted_with_the_request(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    let enroll = Enroll::start(&env.config, WORLD).await?;
    let identity = Identity::start(&env.config, WORLD).await?;

    let line = line!(enroll, env, "enroll", "ENROLLMENT_TOKEN", &env.token.expose());
    ensure!(line["function"] == "fleet-enroll" && line["Enrolled"] == 1, "{line}");
    ensure!(counted(&line) == (json!(2), json!(0), json!(0), Value::Null), "{line}");

    let device = env.api.enrolled(&env.token).await?;
    env.kms.fail_once("Sign", Fault::Throttled);
    let line = line!(identity, env, "identity", "DEVICE_TOKEN", &device.device_token);
    ensure!(line["Issued"] == 1 && line["CaDaysLeft"].as_u64() > Some(10_000), "{line}");
    ensure!(counted(&line) == (json!(1), json!(0), json!(0), json!(2)), "{line}");
    ensure!(line["KmsThrottles"] == 1 && line["KmsErrors"] == 0, "{line}");

    // The first transaction's failed condition is not an error. The third one supersedes.
    let line = line!(identity, env, "identity", "DEVICE_TOKEN", &device.device_token);
    ensure!(counted(&line) == (json!(3), json!(0), json!(0), json!(1)), "{line}");

    // Three attempts, after which the issuance is given back.
    env.kms.fail("Sign", Fault::Away);
    let line = line!(identity, env, "identity", "DEVICE_TOKEN", &device.device_token);
    env.kms.mend();
    ensure!(line["Failed"] == 1 && line["problem"] == "unavailable", "{line}");
    ensure!(line["KmsErrors"] == 3 && line["KmsThrottles"] == 0, "{line}");

    // The log says who was refused, and whether that is certain.
    let caller = |line: &Value| {
        let id = line["device_id"].as_str().or(line["token_id"].as_str()).map(str::to_owned);
        (line["project_id"].as_str().map(str::to_owned), id, line["authenticated"].as_bool())
    };
    let project = Some(env.project.to_string());
    let device_id = Some(device.device_id.to_string());
    let guess = DeviceToken::generate(env.project, device.device_id, &mut rng());
    let line = line!(identity, env, "identity", "DEVICE_TOKEN", &guess.expose());
    ensure!(caller(&line) == (project.clone(), device_id.clone(), Some(false)), "{line}");
    env.store.set_device_enabled(device.device_id, false).await?;
    let line = line!(identity, env, "identity", "DEVICE_TOKEN", &device.device_token);
    ensure!(caller(&line) == (project.clone(), device_id, Some(true)), "{line}");
    let token_id = Some(env.token.subject().to_string());
    env.store.set_token_status(env.project, env.token.subject(), TokenStatus::Paused).await?;
    let line = line!(enroll, env, "enroll", "ENROLLMENT_TOKEN", &env.token.expose());
    ensure!(caller(&line) == (project, token_id, Some(true)), "{line}");

    let line = line!(enroll, env, "enroll", "ENROLLMENT_TOKEN", "et_nothing");
    ensure!(caller(&line) == (None, None, None), "{line}");
    ensure!(line["Refused"] == 1 && line.get("DynamoDbLatency").is_none(), "{line}");
    Ok(())
}

/// Every certificate of a CA that ends before the lifetime that the policy sets is shorter. That is no
/// reason for an alarm for as long as the CA lasts.
async fn a_short_ca_is_not_about_to_end(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let setup = Setup { device_ca_seconds: 10 * YEAR, ..Setup::default() };
    let env = Env::with(emulators, backend, setup).await?;
    let identity = Identity::start(&env.config, WORLD).await?;
    let device = env.api.enrolled(&env.token).await?;
    let line = line!(identity, env, "identity", "DEVICE_TOKEN", &device.device_token);
    ensure!((3650..3653).contains(&line["CaDaysLeft"].as_u64().context("days")?), "{line}");
    Ok(())
}

async fn crls_are_counted_by_ca(emulators: &Emulators, backend: Backend) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    let crl = Publisher::start(&env.config, WORLD).await?;
    let name = format!("crl-{}", env.config.table_name);
    let pass = async || {
        let mut context = Context::default();
        context.env_config = Arc::new(lambda_http::lambda_runtime::Config {
            function_name: name.clone(),
            ..Default::default()
        });
        let event = LambdaEvent::new(json!({}), context);
        let _ = stream::answer(event, |trigger| crl.handle(trigger)).await;
        let log = LOG.lock().unwrap();
        let own = log.iter().filter(|line| line.contains(&name));
        own.map(|line| serde_json::from_str(line)).collect::<Result<Vec<Value>, _>>()
    };
    let lines = pass().await?;
    ensure!(lines.len() == 2, "{lines:?}");
    for (line, ca) in lines.iter().zip(["device", "server"]) {
        ensure!(line["ca"] == ca && line["CrlPublished"] == 1 && line["CrlEntries"] == 0, "{line}");
        ensure!(line["CrlHoursLeft"] == 168 && line["S3Errors"] == 0, "{line}");
        ensure!(line["CaDaysLeft"].as_u64() > Some(20_000), "{line}");
        let dimensions = &line["_aws"]["CloudWatchMetrics"][0]["Dimensions"];
        ensure!(*dimensions == json!([["function"], ["function", "ca"]]), "{line}");
        // Two signatures.
        ensure!(line["KmsLatency"].as_array().map(Vec::len) == Some(2), "{line}");
    }
    let lines = pass().await?;
    ensure!(lines.len() == 4 && lines[2]["CrlPublished"] == 0, "{lines:?}");
    // A missing object is an answer; a throttle is counted.
    env.store.request_crl("device", pki::clock::Timestamp::now()).await?;
    env.s3.fail("PutObject", Fault::Throttled);
    let lines = pass().await?;
    env.s3.mend();
    let failed = lines.iter().find(|line| line["event"] == "unpublished").context("a failure")?;
    ensure!(failed["CrlFailures"] == 1 && failed["S3Throttles"] == 3, "{failed}");
    // The remaining validity of the last CRL: without it, the other CA's CRL would hide that this
    // one expires.
    ensure!(failed["ca"] == "device" && failed["CrlHoursLeft"].as_u64() >= Some(167), "{failed}");
    Ok(())
}

/// Returns the DynamoDB calls that were measured, their throttles and errors, and the number of KMS
/// calls.
fn counted(line: &Value) -> (Value, Value, Value, Value) {
    let calls = |name: &str| match &line[name] {
        Value::Array(latencies) => {
            assert!(latencies.iter().all(|it| it.as_f64() > Some(0.0)), "{line}");
            json!(latencies.len())
        }
        other => other.clone(),
    };
    let (throttles, errors) = (line["DynamoDbThrottles"].clone(), line["DynamoDbErrors"].clone());
    (calls("DynamoDbLatency"), throttles, errors, calls("KmsLatency"))
}
