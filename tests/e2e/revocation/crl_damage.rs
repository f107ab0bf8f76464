//! Damage to the table or the bucket, by whatever cause: the CRLs come, and know no less.

use std::sync::Mutex;

use anyhow::{Context as _, ensure};
use aws_sdk_dynamodb::types::AttributeValue;
use birthcert_tests::api::Enrolled;
use birthcert_tests::aws::emulators::{Backend, Emulators};
use birthcert_tests::env::Env;
use birthcert_tests::operator::Operator;
use birthcert_tests::published_crl::{PublishedCrl, get};
use crl::Publisher;
use lambda::Error;
use lambda::runtime::Runtime;
use lambda::stream::Trigger;
use ledger::bucket::{Bucket, Object};
use pki::clock::Timestamp;
use pki::crl::RevocationReason::{CertificateHold, KeyCompromise};
use serde_json::Value;

use super::crl::{changes, revoke};

pub(crate) fn tests() -> Vec<crate::suite::BackendTest> {
    crate::suite::per_backend![
        a_damaged_entry_stops_no_crl,
        a_device_with_a_damaged_entry_is_revoked,
        a_damaged_device_is_revoked,
        one_certificate_with_a_damaged_entry_is_revoked,
        a_compromised_key_of_a_damaged_entry_is_revoked_everywhere,
        a_full_item_keeps_only_itself_from_being_written,
        a_damaged_status_makes_no_device_active,
        a_service_with_a_damaged_entry_is_revoked,
        a_repeated_revocation_restores_a_lost_denial,
        a_hold_of_a_damaged_entry_weakens_no_revocation,
        a_command_that_finds_damage_requests_a_crl,
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

fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.into())
}

/// Returns a value of an enumeration in a form that serde reads, too.
fn of_another_form(variant: &str) -> AttributeValue {
    AttributeValue::M([(variant.to_owned(), AttributeValue::Null(true))].into())
}

/// Sets an attribute of an item, or removes it.
async fn set(
    env: &Env,
    (pk, sk): (&str, &str),
    attribute: &str,
    value: Option<AttributeValue>,
) -> anyhow::Result<()> {
    let update = env.direct.aws.dynamodb()?.update_item().table_name(&env.config.table_name);
    let update = update.key("PK", text(pk)).key("SK", text(sk));
    let update = update.expression_attribute_names("#attribute", attribute);
    match value {
        None => update.update_expression("REMOVE #attribute"),
        Some(value) => update
            .update_expression("SET #attribute = :value")
            .expression_attribute_values(":value", value),
    }
    .send()
    .await?;
    Ok(())
}

/// Returns an attribute of an item.
async fn attribute(
    env: &Env,
    (pk, sk): (&str, &str),
    attribute: &str,
) -> anyhow::Result<Option<AttributeValue>> {
    let item = env.direct.aws.dynamodb()?.get_item().table_name(&env.config.table_name);
    let item = item.key("PK", text(pk)).key("SK", text(sk)).consistent_read(true).send().await?;
    Ok(item.item.context("the item")?.remove(attribute))
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

/// Whoever may write the ledger cannot make a device irrevocable.
async fn a_device_with_a_damaged_entry_is_revoked(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    let crl = Publisher::start(&env.config, RUNTIME).await?;
    let mut expected = Vec::new();
    let damages = [
        ("requested_at", None),
        ("superseded_at", Some(AttributeValue::Null(true))),
        ("serial_number", Some(text("0a0b"))),
        ("revocation_reason", Some(of_another_form("superseded"))),
        ("revocation_reason", Some(text("superseded"))),
    ];
    let cases =
        [KeyCompromise, CertificateHold].map(|reason| damages.clone().map(|it| (reason, it)));
    for (reason, (attribute, value)) in cases.into_iter().flatten() {
        let device = env.api.enrolled(&env.token).await?;
        let serials = [env.api.released(&device).await?, env.api.released(&device).await?]
            .map(|identity| identity.serial_number);
        let (id, sort_key) = (device.device_id, format!("CERT#{}", serials[1]));
        set(&env, (&format!("LEDGER#{id}"), &sort_key), attribute, value).await?;
        let error = env.store.revoke_device(id, reason, Timestamp::now()).await.err();
        let said = error.context("the damage is not reported")?.to_string();
        ensure!(said.contains(&sort_key) && said.contains("all its certificates"), "{said}");
        let answer = env.api.identity(&device.device_token).await?;
        answer.problem(401, "invalid-device-token", &[])?;
        expected.extend(serials);
    }
    expected.sort();
    crl.publish_due(&Trigger::Schedule).await?;
    let published = PublishedCrl::of(&env, "device").await?;
    ensure!(published.serials() == expected, "{:?}, not {expected:?}", published.revoked());
    ensure!(published.denied.len() == 10, "{:?}", published.denied);
    Ok(())
}

/// Whoever may write the devices' items cannot make one irrevocable.
async fn a_damaged_device_is_revoked(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    let crl = Publisher::start(&env.config, RUNTIME).await?;
    let mut expected = Vec::new();
    let damaged = [
        ("status", Some(text("x"))),
        ("status", None),
        ("status", Some(of_another_form("active"))),
        ("status_changes", Some(text("x"))),
        ("live_serials", Some(text("x"))),
        ("live_serials", Some(AttributeValue::L(vec![text("x"), text("x")]))),
        ("live_serials", None),
        ("unfinished", Some(text("x"))),
        ("issued", Some(text("x"))),
        ("issuance_limit", Some(text("x"))),
        ("last_arrival", Some(text("x"))),
        ("revoked_at", Some(AttributeValue::N("-1".into()))),
        ("revoked_at", Some(AttributeValue::N("0.5".into()))),
        ("held_from", Some(text("x"))),
        ("token_hash", None),
        ("project_id", Some(text("x"))),
        ("token_id", None),
    ];
    for (attribute, value) in damaged {
        for reason in [KeyCompromise, CertificateHold] {
            let device = env.api.enrolled(&env.token).await?;
            expected.push(env.api.released(&device).await?.serial_number);
            let (id, case) = (device.device_id, format!("{attribute}: {value:?}, {reason}"));
            set(&env, (&format!("DEVICE#{id}"), "META"), attribute, value.clone()).await?;
            let done = env.store.revoke_device(id, reason, Timestamp::now()).await;
            if (attribute, reason) == ("revoked_at", CertificateHold) {
                // It may have been revoked, which the release from a hold would take back.
                let said = done.err().with_context(|| case.clone())?.to_string();
                ensure!(said.contains("can only be revoked"), "{case}: {said}");
                env.store.revoke_device(id, KeyCompromise, Timestamp::now()).await?;
                continue;
            }
            let done = done.with_context(|| case.clone())?;
            ensure!(done.changed && done.certificates == 1, "{case}: {done:?}");
            let again = env.store.revoke_device(id, reason, Timestamp::now()).await?;
            ensure!(!again.changed, "{case}: {again:?}");
            let status = env.api.identity(&device.device_token).await?.status;
            ensure!(status == 401 || status == 500, "{case}: {status}");
            if (attribute, reason) == ("status", CertificateHold) {
                // Nobody knows whether the device was active before.
                env.store.release_hold(id).await?;
                env.api.identity(&device.device_token).await?.problem(
                    401,
                    "invalid-device-token",
                    &[],
                )?;
                env.store.revoke_device(id, reason, Timestamp::now()).await?;
            }
        }
    }
    expected.sort();
    crl.publish_due(&Trigger::Schedule).await?;
    let published = PublishedCrl::of(&env, "device").await?;
    ensure!(published.serials() == expected, "{:?}, not {expected:?}", published.revoked());
    ensure!(published.denied.len() == expected.len(), "{:?}", published.denied);
    Ok(())
}

async fn one_certificate_with_a_damaged_entry_is_revoked(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    let crl = Publisher::start(&env.config, RUNTIME).await?;
    let mut expected = Vec::new();
    for reason in [KeyCompromise, CertificateHold] {
        let device = env.api.enrolled(&env.token).await?;
        let id = device.device_id;
        let [named, other] = [env.api.released(&device).await?, env.api.released(&device).await?]
            .map(|identity| identity.serial_number);
        let entries = env.store.device_certificates(id).await?;
        let key = |serial: &str| (format!("LEDGER#{id}"), format!("CERT#{serial}"));
        let damaged = key(&named);
        set(&env, (&damaged.0, &damaged.1), "requested_at", None).await?;

        // The damage to one certificate does not protect another.
        let operator = Operator::of_env(&env)?;
        let command = format!("device revoke {id} --reason superseded --yes --serial");
        operator.run(&format!("{command} {other}")).await?.done()?;
        let error = env.store.revoke_certificate(id, &named, reason, Timestamp::now()).await.err();
        let said = error.context("the damage is not reported")?.to_string();
        ensure!(said.contains(&damaged.1) && !said.contains("all"), "{said}");
        let missing = env.store.revoke_certificate(id, "0a", reason, Timestamp::now()).await;
        ensure!(missing.is_err_and(|error| error.to_string().contains("0a")));
        let fingerprint = entries.iter().find(|it| it.serial_number == named);
        let fingerprint = &fingerprint.context("the entry")?.key_fingerprint;
        let key = env.store.device_key(fingerprint).await?.context("the key")?;
        ensure!(key.compromised_at.is_some() == (reason == KeyCompromise), "{key:?}");
        let failed = operator.run(&format!("{command} {named}")).await?;
        ensure!(failed.done().is_err(), "the damage is not reported");
        expected.extend([named, other]);
    }
    let counts = env.store.crl_requests().await?;
    ensure!(counts == [("device".to_owned(), 4)], "{counts:?}");
    expected.sort();
    crl.publish_due(&Trigger::Schedule).await?;
    let published = PublishedCrl::of(&env, "device").await?;
    ensure!(published.serials() == expected, "{:?}, not {expected:?}", published.revoked());
    Ok(())
}

/// A device that generates its own key may have several certificates for it.
async fn a_compromised_key_of_a_damaged_entry_is_revoked_everywhere(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    for named in [0, 1] {
        let device = env.api.enrolled(&env.token).await?;
        let id = device.device_id;
        let serials = [env.api.released(&device).await?, env.api.released(&device).await?]
            .map(|identity| identity.serial_number);
        let entries = env.store.device_certificates(id).await?;
        let fingerprint = &entries[0].key_fingerprint;
        let partition = format!("LEDGER#{id}");
        for serial in &serials {
            let key = (partition.as_str(), format!("CERT#{serial}"));
            set(&env, (key.0, &key.1), "key_fingerprint", Some(text(fingerprint))).await?;
        }
        let damaged = format!("CERT#{}", serials[0]);
        set(&env, (&partition, &damaged), "requested_at", None).await?;
        let now = Timestamp::now();
        let error =
            env.store.revoke_certificate(id, &serials[named], KeyCompromise, now).await.err();
        let said = error.context("the damage is not reported")?.to_string();
        ensure!(said.contains(&damaged), "{said}");
        for serial in serials {
            let key = (partition.as_str(), format!("CERT#{serial}"));
            let reason = attribute(&env, (key.0, &key.1), "revocation_reason").await?;
            ensure!(reason == Some(text("keyCompromise")), "{named} {serial}: {reason:?}");
        }
        let key = env.store.device_key(fingerprint).await?.context("the key")?;
        ensure!(key.compromised_at.is_some());
    }
    Ok(())
}

async fn a_full_item_keeps_only_itself_from_being_written(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    for full in ["device", "entry", "key", "denial"] {
        let device = env.api.enrolled(&env.token).await?;
        let id = device.device_id;
        let serials = [env.api.released(&device).await?, env.api.released(&device).await?]
            .map(|identity| identity.serial_number);
        let fingerprint =
            env.store.certificate(&serials[0]).await?.context("it")?.1.key_fingerprint;
        let item = match full {
            "device" => (format!("DEVICE#{id}"), "META".to_owned()),
            "entry" => (format!("LEDGER#{id}"), format!("CERT#{}", serials[0])),
            "key" => (format!("KEY#{fingerprint}"), "META".to_owned()),
            _ => (format!("DENIED#{id}"), "META".to_owned()),
        };
        fill(&env, (&item.0, &item.1)).await?;
        let culprit = match full {
            "device" => "the device (".to_owned(),
            "entry" => format!("certificate {} (", serials[0]),
            "key" => format!("key {fingerprint} ("),
            _ => "its denial (".to_owned(),
        };
        // A repetition says so again.
        for attempt in 0..2 {
            let done = env.store.revoke_device(id, KeyCompromise, Timestamp::now()).await;
            let error = done.err().with_context(|| format!("{full} is not reported: {attempt}"))?;
            let said = error.to_string();
            ensure!(said.matches(" (").count() == 1 && said.contains(&culprit), "{said}");
        }
        ensure!(full == "denial" || env.store.is_denied(id).await?, "{full}");
        let status = attribute(&env, (&format!("DEVICE#{id}"), "META"), "status").await?;
        ensure!((status == Some(text("revoked"))) == (full != "device"), "{full}: {status:?}");
        for (index, serial) in serials.iter().enumerate() {
            let key = (format!("LEDGER#{id}"), format!("CERT#{serial}"));
            let reason = attribute(&env, (&key.0, &key.1), "revocation_reason").await?;
            let is_revoked = reason == Some(text("keyCompromise"));
            ensure!(is_revoked == (full != "entry" || index != 0), "{full}, {index}: {reason:?}");
        }
        let other = env.store.certificate(&serials[1]).await?.context("it")?.1.key_fingerprint;
        let key = env.store.device_key(&other).await?.context("the key")?;
        ensure!(key.compromised_at.is_some(), "{full}");
    }
    a_full_item_protects_no_other_certificate(&env).await
}

async fn a_full_item_protects_no_other_certificate(env: &Env) -> anyhow::Result<()> {
    let device = env.api.enrolled(&env.token).await?;
    let id = device.device_id;
    let serials = [env.api.released(&device).await?, env.api.released(&device).await?]
        .map(|identity| identity.serial_number);
    let partition = format!("LEDGER#{id}");
    let sort_keys = serials.clone().map(|serial| format!("CERT#{serial}"));
    let fingerprint = env.store.certificate(&serials[0]).await?.context("it")?.1.key_fingerprint;
    set(env, (&partition, &sort_keys[1]), "key_fingerprint", Some(text(&fingerprint))).await?;
    fill(env, (&partition, &sort_keys[1])).await?;
    fill(env, (&format!("KEY#{fingerprint}"), "META")).await?;
    let now = Timestamp::now();
    let error = env.store.revoke_certificate(id, &serials[0], KeyCompromise, now).await.err();
    let said = error.context("what could not be written is not reported")?.to_string();
    ensure!(said.contains(&serials[1]) && said.contains(&format!("key {fingerprint}")), "{said}");
    let reason = attribute(env, (&partition, &sort_keys[0]), "revocation_reason").await?;
    ensure!(reason == Some(text("keyCompromise")), "{reason:?}");

    let operator = Operator::of_env(env)?;
    for directory in ["one", "two", "three"] {
        let command = format!("broker issue --dns full.example --directory {directory}");
        operator.run(&command).await?.done()?;
    }
    let mut serials: Vec<_> = env.store.service_certificates().await?;
    serials.retain(|it| it.service.common_name().to_string() == "full.example");
    let mut serials: Vec<_> = serials.into_iter().map(|it| it.entry.serial_number).collect();
    serials.sort();
    let partition = "SERVER#full.example";
    fill(env, (partition, &format!("CERT#{}", serials[0]))).await?;
    let name = "full.example".parse()?;
    let error = env.store.revoke_service(&name, None, KeyCompromise, now).await.err();
    let said = error.context("what could not be written is not reported")?.to_string();
    ensure!(said.contains(&serials[0]) && !said.contains(&serials[1]), "{said}");
    for serial in &serials[1..] {
        let sort_key = format!("CERT#{serial}");
        let reason = attribute(env, (partition, &sort_key), "revocation_reason").await?;
        ensure!(reason == Some(text("keyCompromise")), "{serial}: {reason:?}");
    }
    Ok(())
}

/// Fills an item up to DynamoDB's limit, so that nothing can be added to it.
async fn fill(env: &Env, key: (&str, &str)) -> anyhow::Result<()> {
    let mut size = 400 * 1024;
    loop {
        match set(env, key, "padding", Some(text(&"x".repeat(size)))).await {
            Ok(()) => return Ok(()),
            Err(_) if size > 390 * 1024 => size -= 8,
            Err(error) => return Err(error),
        }
    }
}

async fn a_damaged_status_makes_no_device_active(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    let device = env.api.enrolled(&env.token).await?;
    let (id, key) = (device.device_id, format!("DEVICE#{}", device.device_id));
    let hold = || env.store.revoke_device(id, CertificateHold, Timestamp::now());
    // The status before the hold is lost.
    env.store.set_device_enabled(id, false).await?;
    hold().await?;
    set(&env, (&key, "META"), "held_from", None).await?;
    env.store.release_hold(id).await?;
    ensure!(attribute(&env, (&key, "META"), "status").await? == Some(text("disabled")));
    // A device that was revoked is not put on hold, from which it could be released.
    env.store.revoke_device(id, KeyCompromise, Timestamp::now()).await?;
    for status in [Some(text("x")), None, Some(text("active")), Some(text("held"))] {
        set(&env, (&key, "META"), "status", status).await?;
        let error = hold().await.err().context("a revoked device is on hold")?;
        ensure!(error.to_string().contains("can only be revoked"), "{error}");
        let released = env.store.release_hold(id).await;
        ensure!(released.as_ref().map_or(true, |it| !it.changed), "{released:?}");
        ensure!(env.store.is_denied(id).await?);
    }
    env.store.revoke_device(id, KeyCompromise, Timestamp::now()).await?;
    ensure!(attribute(&env, (&key, "META"), "status").await? == Some(text("revoked")));
    Ok(())
}

async fn a_service_with_a_damaged_entry_is_revoked(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    let crl = Publisher::start(&env.config, RUNTIME).await?;
    let operator = Operator::of_env(&env)?;
    for directory in ["one", "two"] {
        let command = format!("broker issue --dns broker.example --directory {directory}");
        operator.run(&command).await?.done()?;
    }
    let mut serials: Vec<_> = env.store.service_certificates().await?;
    let damaged = serials.remove(0).entry.serial_number;
    let intact = serials.remove(0).entry.serial_number;
    let key = ("SERVER#broker.example", format!("CERT#{damaged}"));
    set(&env, (key.0, &key.1), "requested_at", None).await?;
    let name = "broker.example".parse()?;
    let now = Timestamp::now();
    let one = env.store.revoke_service(&name, Some(&intact), KeyCompromise, now).await?;
    ensure!(one == 1, "{one}");
    let failed = operator.run("broker revoke broker.example --yes").await?.done();
    let said = failed.err().context("the damage is not reported")?.to_string();
    ensure!(said.contains(&key.1), "{said}");
    let counts = env.store.crl_requests().await?;
    ensure!(counts.iter().any(|(ca, _)| ca == "server"), "{counts:?}");
    crl.publish_due(&Trigger::Schedule).await?;
    let mut expected = [intact, damaged];
    expected.sort();
    let published = PublishedCrl::of(&env, "server").await?;
    ensure!(published.serials() == expected, "{:?}, not {expected:?}", published.revoked());
    Ok(())
}

/// After the entry is repaired and the hold is released, the certificate must not be good.
async fn a_hold_of_a_damaged_entry_weakens_no_revocation(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    let device = env.api.enrolled(&env.token).await?;
    let (id, serial) = (device.device_id, env.api.released(&device).await?.serial_number);
    env.store.revoke_certificate(id, &serial, KeyCompromise, Timestamp::now()).await?;
    let (partition, sort_key) = (format!("LEDGER#{id}"), format!("CERT#{serial}"));
    let key = (partition.as_str(), sort_key.as_str());
    let fingerprint = env.store.device_certificates(id).await?[0].key_fingerprint.clone();
    set(&env, key, "key_fingerprint", None).await?;
    let error = env.store.revoke_device(id, CertificateHold, Timestamp::now()).await.err();
    error.context("the damage is not reported")?;
    set(&env, key, "key_fingerprint", Some(text(&fingerprint))).await?;
    env.store.release_hold(id).await?;
    let entries = env.store.device_certificates(id).await?;
    ensure!(entries[0].revocation_reason == Some(KeyCompromise), "{entries:?}");
    Ok(())
}

async fn a_command_that_finds_damage_requests_a_crl(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    let operator = Operator::of_env(&env)?;
    let mut requests = 0;
    for command in ["revoke", "delete"] {
        let device = env.api.enrolled(&env.token).await?;
        let serial = env.api.released(&device).await?.serial_number;
        let id = device.device_id;
        let key = (format!("LEDGER#{id}"), format!("CERT#{serial}"));
        set(&env, (&key.0, &key.1), "requested_at", None).await?;
        let failed = operator.run(&format!("device {command} {id} --yes")).await?;
        ensure!(failed.done().is_err(), "{command}: the damage is not reported");
        requests += 1;
        let counts = env.store.crl_requests().await?;
        ensure!(counts == [("device".to_owned(), requests)], "{command}: {counts:?}");
    }
    Ok(())
}

async fn a_repeated_revocation_restores_a_lost_denial(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    for reason in [KeyCompromise, CertificateHold] {
        let id = env.api.enrolled(&env.token).await?.device_id;
        env.store.revoke_device(id, reason, Timestamp::now()).await?;
        let key = (format!("DENIED#{id}"), "META");
        let lost = env.direct.aws.dynamodb()?.delete_item().table_name(&env.config.table_name);
        lost.key("PK", text(&key.0)).key("SK", text(key.1)).send().await?;
        ensure!(!env.store.is_denied(id).await?);
        let again = env.store.revoke_device(id, reason, Timestamp::now()).await?;
        ensure!(again.changed && env.store.is_denied(id).await?, "{again:?}");
        set(&env, (&key.0, key.1), "ca", Some(text("DENI"))).await?;
        let again = env.store.revoke_device(id, reason, Timestamp::now()).await?;
        ensure!(again.changed, "{again:?}");
        let third = env.store.revoke_device(id, reason, Timestamp::now()).await?;
        ensure!(!third.changed, "{third:?}");
    }
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
