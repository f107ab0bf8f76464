//! Damage to the table or the bucket, by whatever cause: the CRLs come, and know no less.

use std::sync::Mutex;

use anyhow::{Context as _, ensure};
use aws_sdk_dynamodb::types::AttributeValue;
use birthcert_tests::api::Enrolled;
use birthcert_tests::aws::emulators::{Backend, Emulators};
use birthcert_tests::env::Env;
use birthcert_tests::published_crl::{PublishedCrl, get};
use crl::Publisher;
use lambda::Error;
use lambda::runtime::Runtime;
use lambda::stream::Trigger;
use ledger::bucket::{Bucket, Object};
use pki::clock::Timestamp;
use pki::crl::RevocationReason::KeyCompromise;
use serde_json::Value;

use super::crl::{changes, revoke};
use crate::items::{set, text};

pub(crate) fn tests() -> Vec<crate::suite::BackendTest> {
    crate::suite::per_backend![
        a_damaged_entry_stops_no_crl,
        a_revocation_that_vanishes_from_the_ledger_stays_published,
        a_damaged_record_stops_no_other_cas_crl,
        a_damaged_state_stops_no_crl,
        a_damaged_bucket_is_put_right,
        a_late_write_is_put_right,
    ]
}

static LOG: Mutex<Vec<String>> = Mutex::new(Vec::new());
const RUNTIME: Runtime =
    Runtime { log: |line| LOG.lock().unwrap().push(line.to_owned()), ..Runtime::LAMBDA };

/// Returns the number of log lines with this event and a cause that contains `word`.
fn logged(event: &str, word: &str) -> usize {
    let log = LOG.lock().unwrap();
    let lines = log.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let of_cause = |cause: &Value| cause.as_str().is_some_and(|cause| cause.contains(word));
    let is_ours = |line: &Value| match line["causes"].as_array() {
        Some(causes) => causes.iter().any(of_cause),
        None => of_cause(&line["cause"]),
    };
    lines.filter(|line| line["event"] == event && is_ours(line)).count()
}

/// A revoked device, the partition of its entries, and the serial number of its certificate.
async fn revoked(env: &Env) -> anyhow::Result<(Enrolled, String, String)> {
    let device = env.api.enrolled(&env.token).await?;
    let serial = env.api.released(&device).await?.serial_number;
    revoke(env, &device, KeyCompromise).await?;
    let partition = format!("LEDGER#{}", device.device_id);
    Ok((device, partition, serial))
}

async fn a_damaged_entry_stops_no_crl(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    let crl = Publisher::start(&env.config, RUNTIME).await?;
    let mut expected = Vec::new();
    for (attribute, value, reason) in [
        ("revocation_reason", Some(text("whim")), "Unspecified"),
        ("not_after", Some(text("soon")), "KeyCompromise"),
        ("not_after", None, "KeyCompromise"),
        ("revoked_at", Some(AttributeValue::N("-1".into())), "KeyCompromise"),
        // Nothing that a CRL needs.
        ("tbs_digest", None, "KeyCompromise"),
    ] {
        let (_, partition, serial) = revoked(&env).await?;
        set(&env, (&partition, &format!("CERT#{serial}")), attribute, value).await?;
        expected.push((serial, reason.to_owned(), partition));
    }
    // Without a serial number, and without a device's id.
    let put = async |pk: &str, sk: &str, ca: &str| {
        let put = env.direct.aws.dynamodb()?.put_item().table_name(&env.config.table_name);
        let put = put.item("PK", text(pk)).item("SK", text(sk)).item("ca", text(ca));
        put.item("revoked_at", AttributeValue::N("1".into())).send().await?;
        anyhow::Ok(())
    };
    put(&format!("LEDGER#{}", env.project), "CERT#none", "device").await?;
    put(&format!("DENIED#{}", env.project), "META", "DENIED").await?;

    crl.publish_due(&Trigger::Schedule).await?;
    let published = PublishedCrl::of(&env, "device").await?;
    let mut entries: Vec<_> =
        expected.iter().map(|(serial, reason, _)| (serial.clone(), reason.clone())).collect();
    entries.sort();
    ensure!(published.revoked() == entries, "{:?}, not {entries:?}", published.revoked());
    ensure!(published.denied.len() == expected.len(), "{:?}", published.denied);
    for (.., partition) in &expected[..4] {
        ensure!(logged("damaged", partition) == 1, "{partition}");
    }
    ensure!(logged("damaged", &expected[4].2) == 0);
    ensure!(logged("damaged", &format!("LEDGER#{}", env.project)) == 1);
    ensure!(logged("damaged", &format!("DENIED#{}", env.project)) == 1);

    // It says so every time, and signs nothing new for it.
    let number = published.crl.number();
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    crl.publish_due(&Trigger::Schedule).await?;
    ensure!(PublishedCrl::of(&env, "device").await?.crl.number() == number);
    ensure!(logged("damaged", &format!("LEDGER#{}", env.project)) == 2);
    Ok(())
}

/// Whoever may write the ledger can end a hold, and nothing else.
async fn a_revocation_that_vanishes_from_the_ledger_stays_published(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    let crl = Publisher::start(&env.config, RUNTIME).await?;
    let mut expected = Vec::new();
    let mut changes = Vec::new();
    for (attribute, value) in [("revoked_at", None), ("ca", Some(text("device-9")))] {
        let (_, partition, serial) = revoked(&env).await?;
        changes.push((partition, format!("CERT#{serial}"), attribute, value));
        expected.push(serial);
    }
    let (_, deleted, serial) = revoked(&env).await?;
    expected.push(serial.clone());
    expected.sort();
    crl.publish_due(&Trigger::Schedule).await?;
    ensure!(PublishedCrl::of(&env, "device").await?.serials() == expected);

    for (pk, sk, attribute, value) in changes {
        set(&env, (&pk, &sk), attribute, value).await?;
    }
    let delete = env.direct.aws.dynamodb()?.delete_item().table_name(&env.config.table_name);
    delete.key("PK", text(&deleted)).key("SK", text(&format!("CERT#{serial}"))).send().await?;
    env.store.request_crl("device", Timestamp::now()).await?;
    crl.publish_due(&super::crl::changes("device")).await?;
    let published = PublishedCrl::of(&env, "device").await?;
    ensure!(published.serials() == expected, "{:?}", published.revoked());
    for serial in &expected {
        ensure!(logged("damaged", serial) == 1, "{serial}");
    }
    Ok(())
}

async fn a_damaged_record_stops_no_other_cas_crl(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    let crl = Publisher::start(&env.config, RUNTIME).await?;
    let (_, _, serial) = revoked(&env).await?;
    set(&env, ("CA#server", "NAME#server"), "key_arn", None).await?;
    set(&env, ("CA#device", "ACTIVE"), "since", Some(text("once"))).await?;
    let failed = crl.publish_due(&Trigger::Schedule).await;
    let all = "ACTIVE, server";
    ensure!(matches!(&failed, Err(Error::Unpublished(names)) if names == all), "{failed:?}");
    ensure!(PublishedCrl::of(&env, "device").await?.serials() == [serial]);
    ensure!(get(&env, "ca/index.json").await.is_ok());
    Ok(())
}

async fn a_damaged_state_stops_no_crl(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    let crl = Publisher::start(&env.config, RUNTIME).await?;
    crl.publish_due(&Trigger::Schedule).await?;
    let number = |number: u64| Some(AttributeValue::N(number.to_string()));
    let huge = Some(AttributeValue::N("1e30".into()));
    let bad = Some(AttributeValue::M([("number".to_owned(), text("1"))].into()));
    let too_high = AttributeValue::M(
        ["number", "at", "next_update", "entries", "bytes"]
            .map(|name| (name.to_owned(), AttributeValue::N(u64::MAX.to_string())))
            .into(),
    );
    for (attribute, value) in [
        ("reserved", number(u64::MAX)),
        ("reserved", number(u64::MAX - 1)),
        ("reserved", number(Timestamp::NEVER.unix() + 1)),
        ("reserved", huge),
        ("reserved", Some(text("many"))),
        ("answered", Some(text("all"))),
        ("answered", number(u64::MAX)),
        ("published", bad),
        ("published", Some(text("yes"))),
        ("published", Some(too_high)),
    ] {
        let case = format!("{attribute}: {value:?}");
        let before = PublishedCrl::of(&env, "device").await?.crl.number();
        let (_, _, serial) = revoked(&env).await?;
        set(&env, ("CRL#device", "META"), attribute, value).await?;
        let count = env.store.request_crl("device", Timestamp::now()).await?;
        crl.publish_due(&changes("device")).await.with_context(|| case.clone())?;
        let published = PublishedCrl::of(&env, "device").await?;
        ensure!(published.serials().contains(&serial), "{case}");
        let after = published.crl.number();
        ensure!(after > before && after < Timestamp::now().unix() + 1000, "{case}: {after}");
        let state = env.store.crl_state("device").await?;
        let recorded = state.published.context("published")?.number;
        let all = (recorded, state.reserved, state.answered);
        ensure!(all == (after, after, count), "{case}: {state:?}");
    }
    // A damaged request delays nothing that is due.
    let (_, _, serial) = revoked(&env).await?;
    set(&env, ("CRL#REQUEST", "device"), "count", Some(text("many"))).await?;
    crl.publish_due(&Trigger::Schedule).await?;
    ensure!(PublishedCrl::of(&env, "device").await?.serials().contains(&serial));

    // Numbers that are as high as they look, since the bucket has such a CRL, are continued.
    let last = Timestamp::NEVER.unix() + 5;
    let next = env.store.reserve_crl_number("device", last, Timestamp::now()).await?;
    ensure!(next == last + 1, "{next}");
    let next = env.store.reserve_crl_number("device", u64::MAX - 1, Timestamp::now()).await?;
    ensure!(next == u64::MAX, "{next}");
    let none = env.store.reserve_crl_number("device", u64::MAX, Timestamp::now()).await;
    let why = none.err().context("there is no higher one")?.to_string();
    ensure!(why.contains("CRL numbers are exhausted"), "{why}");
    Ok(())
}

/// Objects that are lost, damaged or old, also with the metadata of the right ones.
async fn a_damaged_bucket_is_put_right(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    let crl = Publisher::start(&env.config, RUNTIME).await?;
    crl.publish_due(&Trigger::Schedule).await?;
    let old = get(&env, "crl/device.crl").await?;
    let (device, _, serial) = revoked(&env).await?;
    crl.publish_due(&Trigger::Schedule).await?;
    let (s3, bucket) = (env.config.aws.s3()?, env.config.bucket_name()?);
    let named = PublishedCrl::of(&env, "device").await?.crl;
    let named = pki::hex(named.denied_devices().context("it has one")?);
    let named = format!("denied/{named}.txt");
    let replace = async |key: &str, body: &[u8]| {
        let head = s3.head_object().bucket(bucket).key(key).send().await?;
        let put = s3.put_object().bucket(bucket).key(key).set_metadata(head.metadata);
        put.body(body.to_vec().into()).send().await?;
        anyhow::Ok(())
    };
    for (key, bytes, alarm) in [
        ("crl/device.crl", &b"garbage"[..], "not a CRL"),
        ("crl/device.crl", &old, "replaced by the older CRL"),
        ("denied/devices.txt", b"garbage\n", "1 lines are not device ids"),
        ("denied/devices.txt", b"", ""),
    ] {
        let before = PublishedCrl::of(&env, "device").await?.crl.number();
        let alarms = logged("damaged", alarm);
        replace(key, bytes).await?;
        crl.publish_due(&Trigger::Schedule).await?;
        let published = PublishedCrl::of(&env, "device").await.with_context(|| key.to_owned())?;
        ensure!(published.crl.number() > before, "{key}");
        ensure!(published.serials() == [serial.clone()], "{key}: {:?}", published.revoked());
        ensure!(published.denied == [device.device_id.to_string()], "{key}");
        ensure!(alarm.is_empty() || logged("damaged", alarm) > alarms, "{key}: no alarm");
    }
    // Empty, and without metadata.
    let keys = ["crl/device.crl", "crl/device.pem", "crl/device-idp.crl", "denied/devices.txt"];
    for key in keys.into_iter().chain(["denied/devices.acl", &named]) {
        s3.put_object().bucket(bucket).key(key).body(Vec::new().into()).send().await?;
        // The list that the CRL names is read only if it differs from the one under the fixed key.
        if key == named {
            env.store.request_crl("device", Timestamp::now()).await?;
        }
        crl.publish_due(&Trigger::Schedule).await?;
        let published = PublishedCrl::of(&env, "device").await.with_context(|| key.to_owned())?;
        ensure!(published.serials() == [serial.clone()], "{key}: {:?}", published.revoked());
    }

    // All is lost.
    let before = PublishedCrl::of(&env, "device").await?.crl.number();
    let other = emulators.bucket(backend, &env.scratch.path().join("other")).await?;
    let mut config = env.config.clone();
    config.aws.endpoint_s3 = Some(other.endpoint.clone());
    config.bucket_name = Some(other.name.clone());
    Publisher::start(&config, RUNTIME).await?.publish_due(&Trigger::Schedule).await?;
    let other = Bucket::new(config.aws.s3()?, config.bucket_name()?);
    let stored = other.head("crl/device.crl").await?.context("published")?;
    ensure!(stored.number > before, "{before}, {}", stored.number);
    ensure!(logged("damaged", "crl/device.crl: missing, although it was published") > 0);
    Ok(())
}

/// The bytes of a deny list may be equal to those of an earlier one, and so is its ETag. So a write that was
/// on its way for a while is not recognized as late.
async fn a_late_write_is_put_right(emulators: &Emulators, backend: Backend) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    let crl = Publisher::start(&env.config, RUNTIME).await?;
    let (device, ..) = revoked(&env).await?;
    crl.publish_due(&Trigger::Schedule).await?;
    let bucket = Bucket::new(env.config.aws.s3()?, env.config.bucket_name()?);
    for key in ["denied/devices.txt", "denied/devices.acl"] {
        let late = Object {
            key: key.into(),
            content_type: "text/plain",
            cache_control: "public, max-age=5",
            body: "".into(),
        };
        bucket.put(&late, &pki::hex(&pki::crl::denied_digest(b""))).await?;
        crl.publish_due(&Trigger::Schedule).await?;
        let published = PublishedCrl::of(&env, "device").await.with_context(|| key.to_owned())?;
        ensure!(published.denied == [device.device_id.to_string()], "{key}");
    }
    Ok(())
}
