//! Failures while a CRL is published: the last CRL stays, one log line names the reason, and the
//! next attempt succeeds.

use std::cell::RefCell;

use anyhow::{Context as _, ensure};
use aws_sdk_dynamodb::types::AttributeValue;
use birthcert_tests::aws::emulators::{Backend, Emulators};
use birthcert_tests::aws::proxy::{Fault, Proxy};
use birthcert_tests::env::{Env, Setup};
use birthcert_tests::published_crl::{PublishedCrl, get, is_absent};
use crl::Publisher;
use lambda::Error;
use lambda::runtime::Runtime;
use lambda::stream::Trigger;
use ledger::store::CertificateOwner;
use pki::authority::Roots;
use pki::clock::Timestamp;
use pki::crl::RevocationReason::KeyCompromise;
use serde_json::Value;

pub(crate) fn tests() -> Vec<crate::suite::BackendTest> {
    crate::suite::per_backend![
        nothing_that_fails_loses_a_revocation,
        a_lost_response_is_not_a_failure,
        one_ca_that_fails_stops_no_other,
        a_ca_of_another_root_gets_no_crl,
        lookalike_entries_are_on_no_crl,
    ]
}

const DAY: u64 = 24 * 60 * 60;

thread_local! {
    /// The lines since the last [`failures`]. Each test has a thread of its own at a time.
    static LOG: RefCell<Vec<Value>> = const { RefCell::new(Vec::new()) };
}
const WORLD: Runtime = Runtime {
    log: |line| LOG.with_borrow_mut(|log| log.push(serde_json::from_str(line).unwrap())),
    ..Runtime::LAMBDA
};

/// Takes the log, and returns the cause of each failed publication in it.
fn failures() -> Vec<String> {
    let lines = LOG.take().into_iter().filter(|line| line["event"] == "unpublished");
    lines.map(|line| line["cause"].as_str().unwrap().to_owned()).collect()
}

async fn nothing_that_fails_loses_a_revocation(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    let crl = Publisher::start(&env.config, WORLD).await?;
    crl.publish_due(&Trigger::Schedule).await?;
    let cases: [(&Proxy, &'static str, Fault, &str); 15] = [
        (&env.kms, "Sign", Fault::Away, "KMS"),
        (&env.kms, "Sign", Fault::Throttled, "KMS"),
        (&env.kms, "Sign", Fault::Refused, "KMS"),
        (&env.kms, "Sign", Fault::WrongSignature, "signature"),
        (&env.s3, "PutObject", Fault::Away, "S3"),
        (&env.s3, "PutObject", Fault::Throttled, "S3"),
        (&env.s3, "PutObject", Fault::Refused, "S3"),
        (&env.s3, "PutObject", Fault::ServerError, "S3"),
        (&env.s3, "HeadObject", Fault::Refused, "S3"),
        (&env.s3, "GetObject", Fault::Away, "S3"),
        (&env.s3, "GetObject", Fault::Refused, "S3"),
        (&env.dynamodb, "Query", Fault::Away, "DynamoDB"),
        (&env.dynamodb, "Query", Fault::Throttled, "DynamoDB"),
        (&env.dynamodb, "UpdateItem", Fault::Refused, "DynamoDB"),
        (&env.dynamodb, "PutItem", Fault::ServerError, "DynamoDB"),
    ];
    for (proxy, operation, fault, named) in cases {
        let case = || format!("{operation}: {fault:?}");
        let before = PublishedCrl::of(&env, "device").await.with_context(case)?;
        let device = env.api.enrolled(&env.token).await?;
        let serial = env.api.released(&device).await?.serial_number;
        env.store.revoke_device(device.device_id, KeyCompromise, Timestamp::now()).await?;
        env.store.request_crl("device", Timestamp::now()).await?;

        ensure!(failures().is_empty(), "before {}", case());
        proxy.fail(operation, fault);
        let failed = crl.publish_due(&Trigger::Schedule).await;
        proxy.mend();
        let error = failed.err().with_context(|| format!("{}: it went well", case()))?;
        let causes = failures();
        let are_named = !causes.is_empty() && causes.iter().all(|cause| cause.contains(named));
        ensure!(are_named, "{}: {error}, logged: {causes:?}", case());
        let after = PublishedCrl::of(&env, "device").await.with_context(case)?;
        ensure!(after.crl.der() == before.crl.der(), "{}: published all the same", case());

        ensure!(
            crl.publish_due(&Trigger::Schedule).await.with_context(case)?,
            "{}: nobody asked",
            case()
        );
        let published = PublishedCrl::of(&env, "device").await.with_context(case)?;
        ensure!(published.serials().contains(&serial), "{}", case());
        ensure!(published.crl.number() > before.crl.number());
    }
    Ok(())
}

async fn a_lost_response_is_not_a_failure(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    let crl = Publisher::start(&env.config, WORLD).await?;
    for (proxy, operation) in [
        (&env.kms, "Sign"),
        (&env.s3, "PutObject"),
        (&env.s3, "HeadObject"),
        (&env.s3, "GetObject"),
        (&env.dynamodb, "UpdateItem"),
        (&env.dynamodb, "PutItem"),
        (&env.dynamodb, "Query"),
    ] {
        env.store.request_crl("device", Timestamp::now()).await?;
        proxy.fail_once(operation, Fault::AnswerLost);
        let failed = || format!("{operation}: {:?}", failures());
        crl.publish_due(&Trigger::Schedule).await.with_context(failed)?;
        let published = PublishedCrl::of(&env, "device").await.context(operation)?;
        let state = env.store.crl_state("device").await?;
        let recorded = state.published.context("published")?;
        ensure!(recorded.number == published.crl.number(), "{operation}: {state:?}");
    }
    Ok(())
}

async fn one_ca_that_fails_stops_no_other(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    // KMS does not have the device CA's key.
    let text = |text: &str| AttributeValue::S(text.into());
    let update = env.config.aws.dynamodb()?.update_item().table_name(&env.config.table_name);
    let missing = format!("arn:aws:kms:us-east-1:000000000000:key/{}", env.config.table_name);
    update
        .key("PK", text("CA#device"))
        .key("SK", text("NAME#device"))
        .update_expression("SET key_arn = :arn")
        .expression_attribute_values(":arn", text(&missing))
        .send()
        .await?;
    let crl = Publisher::start(&env.config, WORLD).await?;
    let failed = crl.publish_due(&Trigger::Schedule).await;
    ensure!(matches!(&failed, Err(Error::Unpublished(names)) if names == "device"), "{failed:?}");
    let before = PublishedCrl::of(&env, "server").await?.crl.number();
    let is_named_once = || {
        let causes = failures();
        ensure!(causes.iter().filter(|it| it.contains(&missing)).count() == 1, "{causes:?}");
        Ok(())
    };
    is_named_once()?;

    // The stream does not redeliver a request that no retry can answer, since it would block those
    // behind it. Pending requests are answered even before the stream delivers them.
    for name in ["device", "server"] {
        env.store.request_crl(name, Timestamp::now()).await?;
    }
    crl.publish_due(&Trigger::Changes(["device".to_owned()].into())).await?;
    is_named_once()?;
    ensure!(env.store.crl_state("device").await?.answered == 0);
    ensure!(PublishedCrl::of(&env, "server").await?.crl.number() > before);
    // Temporary failures are retried.
    env.store.request_crl("server", Timestamp::now()).await?;
    env.s3.fail("PutObject", Fault::Away);
    let failed = crl.publish_due(&Trigger::Changes(["server".to_owned()].into())).await;
    env.s3.mend();
    let is_server = matches!(&failed, Err(Error::Unpublished(names)) if names.contains("server"));
    ensure!(is_server, "nobody would try again: {failed:?}");
    Ok(())
}

async fn a_ca_of_another_root_gets_no_crl(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let setup = Setup { device_ca_seconds: DAY, ..Setup::default() };
    let env = Env::with(emulators, backend, setup).await?;
    let mut config = env.config.clone();
    config.roots = Roots::only(Env::start(emulators, backend).await?.root()?.certificate());
    let crl = Publisher::start(&config, WORLD).await?;
    let failed = crl.publish_due(&Trigger::Schedule).await;
    let all = "device, server";
    ensure!(matches!(&failed, Err(Error::Unpublished(names)) if names == all), "{failed:?}");
    let index: Value = serde_json::from_slice(&get(&env, "ca/index.json").await?)?;
    ensure!(index["authorities"].as_array().is_some_and(Vec::is_empty), "{index}");
    ensure!(is_absent(&env, "ca/device.crt").await? && is_absent(&env, "crl/device.crl").await?);
    // An expired CA does not count as a failure.
    let tomorrow = Runtime { clock: || Timestamp::now().plus(DAY + 3600), ..WORLD };
    let failed = Publisher::start(&config, tomorrow).await?.publish_due(&Trigger::Schedule).await;
    ensure!(matches!(&failed, Err(Error::Unpublished(names)) if names == "server"), "{failed:?}");

    config.roots = Roots::only(env.root()?.certificate());
    Publisher::start(&config, WORLD).await?.publish_due(&Trigger::Schedule).await?;
    PublishedCrl::of(&env, "device").await.map(drop)
}

/// Permission to write devices, as `enroll` has it, is not enough to lengthen, shorten or break a
/// CRL.
async fn lookalike_entries_are_on_no_crl(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    let device = env.api.enrolled(&env.token).await?;
    let serial = env.api.released(&device).await?.serial_number;
    let stolen = env.api.enrolled(&env.token).await?;
    let stolen_serial = env.api.released(&stolen).await?.serial_number;
    let text = |text: &str| AttributeValue::S(text.into());
    let number = |number: u64| AttributeValue::N(number.to_string());
    let now = Timestamp::now();
    env.store.revoke_device(stolen.device_id, KeyCompromise, now).await?;
    let stolen = stolen.device_id.to_string();
    for (id, ca) in [(&stolen, "device"), (&device.device_id.to_string(), "DENIED")] {
        // Overwrites the revoked device's item with an unrevoked one, and forges a denial of the
        // good one.
        let put = env.direct.aws.dynamodb()?.put_item().table_name(&env.config.table_name);
        put.item("PK", text(&format!("DEVICE#{id}")))
            .item("SK", text("META"))
            .item("status", text("active"))
            .item("ca", text(ca))
            .item("revoked_at", number(now.minus(60).unix()))
            .item("not_after", number(now.plus(DAY).unix()))
            .send()
            .await?;
    }
    for (ca, serial) in [("server", "4000"), ("device", "no serial number"), ("device", &serial)] {
        let put = env.direct.aws.dynamodb()?.put_item().table_name(&env.config.table_name);
        put.item("PK", text(&format!("DEVICE#{}", device.device_id)))
            .item("SK", text(&format!("CERT#{serial}")))
            .item("ca", text(ca))
            .item("serial_number", text(serial))
            .item("revoked_at", number(now.minus(60).unix()))
            .item("not_after", number(now.plus(DAY).unix()))
            .send()
            .await?;
    }
    Publisher::start(&env.config, WORLD).await?.publish_due(&Trigger::Schedule).await?;
    let published = PublishedCrl::of(&env, "device").await?;
    ensure!(published.serials() == [stolen_serial], "{:?}", published.revoked());
    ensure!(published.denied == [stolen], "{:?}", published.denied);
    let published = PublishedCrl::of(&env, "server").await?;
    ensure!(published.crl.is_empty(), "{:?}", published.revoked());
    let (owner, entry) = env.store.certificate(&serial).await?.context("it is on the ledger")?;
    ensure!(
        owner == CertificateOwner::Device(device.device_id) && entry.revoked_at.is_none(),
        "{entry:?}"
    );
    Ok(())
}
