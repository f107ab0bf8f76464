//! Damage to items of the table, by whatever cause: devices and certificates can be revoked, and stay so.

use anyhow::{Context as _, ensure};
use aws_sdk_dynamodb::types::AttributeValue;
use birthcert_tests::api::Enrolled;
use birthcert_tests::aws::emulators::{Backend, Emulators};
use birthcert_tests::aws::proxy::Fault;
use birthcert_tests::env::Env;
use birthcert_tests::operator::Operator;
use birthcert_tests::published_crl::PublishedCrl;
use crl::Publisher;
use lambda::runtime::Runtime;
use lambda::stream::Trigger;
use pki::clock::Timestamp;
use pki::crl::RevocationReason::{CertificateHold, KeyCompromise};

use crate::items::{attribute, fill, of_another_form, set, text};

pub(crate) fn tests() -> Vec<crate::suite::BackendTest> {
    crate::suite::per_backend![
        a_device_with_a_damaged_entry_is_revoked,
        a_damaged_device_is_revoked,
        one_certificate_with_a_damaged_entry_is_revoked,
        a_compromised_key_of_a_damaged_entry_is_revoked_everywhere,
        a_full_item_keeps_only_itself_from_being_written,
        a_full_entry_protects_no_other_certificate,
        a_full_entry_protects_no_other_certificate_of_a_service,
        a_key_that_cannot_be_marked_is_reported,
        a_damaged_status_makes_no_device_active,
        a_service_with_a_damaged_entry_is_revoked,
        a_hold_of_a_damaged_entry_weakens_no_revocation,
        a_command_that_finds_damage_requests_a_crl,
        a_repeated_revocation_restores_a_lost_denial,
    ]
}

/// A device with two certificates, of which the first is superseded.
async fn with_two_certificates(env: &Env) -> anyhow::Result<(Enrolled, [String; 2])> {
    let device = env.api.enrolled(&env.token).await?;
    let identities = [env.api.released(&device).await?, env.api.released(&device).await?];
    Ok((device, identities.map(|identity| identity.serial_number)))
}

/// Issues certificates to a service, and returns their serial numbers, sorted.
async fn issued_to(env: &Env, name: &str, count: usize) -> anyhow::Result<Vec<String>> {
    let operator = Operator::of_env(env)?;
    for directory in 0..count {
        let command = format!("broker issue --dns {name} --directory {directory}");
        operator.run(&command).await?.done()?;
    }
    let issued = env.store.service_certificates().await?.into_iter();
    let mut serials: Vec<_> = issued.map(|it| it.entry.serial_number).collect();
    serials.sort();
    Ok(serials)
}

/// Publishes, and checks that the CRL of `ca` has these certificates and no others.
async fn publish(env: &Env, ca: &str, mut expected: Vec<String>) -> anyhow::Result<PublishedCrl> {
    let runtime = Runtime { log: |_| {}, ..Runtime::LAMBDA };
    let crl = Publisher::start(&env.config, runtime).await?;
    crl.publish_due(&Trigger::Schedule).await?;
    let published = PublishedCrl::of(env, ca).await?;
    expected.sort();
    ensure!(published.serials() == expected, "{:?}, not {expected:?}", published.revoked());
    Ok(published)
}

async fn fingerprint(env: &Env, serial: &str) -> anyhow::Result<String> {
    Ok(env.store.certificate(serial).await?.context("the certificate")?.1.key_fingerprint)
}

/// Returns the reason for which a ledger entry is revoked.
async fn reason(env: &Env, partition: &str, serial: &str) -> anyhow::Result<Option<String>> {
    let key = (partition, format!("CERT#{serial}"));
    let reason = attribute(env, (key.0, &key.1), "revocation_reason").await?;
    Ok(reason.and_then(|reason| reason.as_s().ok().cloned()))
}

/// Whoever may write the ledger cannot make a device irrevocable.
async fn a_device_with_a_damaged_entry_is_revoked(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
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
        let (device, serials) = with_two_certificates(&env).await?;
        let (id, sort_key) = (device.device_id, format!("CERT#{}", serials[1]));
        set(&env, (&format!("LEDGER#{id}"), &sort_key), attribute, value).await?;
        let error = env.store.revoke_device(id, reason, Timestamp::now()).await.err();
        let said = error.context("the damage is not reported")?.to_string();
        ensure!(said.contains(&sort_key) && said.contains("all its certificates"), "{said}");
        let answer = env.api.identity(&device.device_token).await?;
        answer.problem(401, "invalid-device-token", &[])?;
        expected.extend(serials);
    }
    let denied = publish(&env, "device", expected).await?.denied;
    ensure!(denied.len() == 10, "{denied:?}");
    Ok(())
}

/// Whoever may write the devices' items cannot make one irrevocable.
async fn a_damaged_device_is_revoked(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
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
    let count = expected.len();
    let denied = publish(&env, "device", expected).await?.denied;
    ensure!(denied.len() == count, "{denied:?}");
    Ok(())
}

async fn one_certificate_with_a_damaged_entry_is_revoked(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    let mut expected = Vec::new();
    for reason in [KeyCompromise, CertificateHold] {
        let (device, [named, other]) = with_two_certificates(&env).await?;
        let id = device.device_id;
        let fingerprint = fingerprint(&env, &named).await?;
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
        let key = env.store.device_key(&fingerprint).await?.context("the key")?;
        ensure!(key.compromised_at.is_some() == (reason == KeyCompromise), "{key:?}");
        let failed = operator.run(&format!("{command} {named}")).await?;
        ensure!(failed.done().is_err(), "the damage is not reported");
        expected.extend([named, other]);
    }
    let counts = env.store.crl_requests().await?;
    ensure!(counts == [("device".to_owned(), 4)], "{counts:?}");
    publish(&env, "device", expected).await?;
    Ok(())
}

/// A device that generates its own key may have several certificates for it.
async fn a_compromised_key_of_a_damaged_entry_is_revoked_everywhere(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    for named in [0, 1] {
        let (device, serials) = with_two_certificates(&env).await?;
        let id = device.device_id;
        let fingerprint = &fingerprint(&env, &serials[0]).await?;
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
            let reason = reason(&env, &partition, &serial).await?;
            ensure!(reason.as_deref() == Some("keyCompromise"), "{named} {serial}: {reason:?}");
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
        let (device, serials) = with_two_certificates(&env).await?;
        let id = device.device_id;
        let [first, second] =
            [fingerprint(&env, &serials[0]).await?, fingerprint(&env, &serials[1]).await?];
        let item = match full {
            "device" => (format!("DEVICE#{id}"), "META".to_owned()),
            "entry" => (format!("LEDGER#{id}"), format!("CERT#{}", serials[0])),
            "key" => (format!("KEY#{first}"), "META".to_owned()),
            _ => (format!("DENIED#{id}"), "META".to_owned()),
        };
        fill(&env, (&item.0, &item.1)).await?;
        let culprit = match full {
            "device" => "the device (".to_owned(),
            "entry" => format!("certificate {} (", serials[0]),
            "key" => format!("key {first} ("),
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
            let reason = reason(&env, &format!("LEDGER#{id}"), serial).await?;
            let is_revoked = reason.as_deref() == Some("keyCompromise");
            ensure!(is_revoked == (full != "entry" || index != 0), "{full}, {index}: {reason:?}");
        }
        let key = env.store.device_key(&second).await?.context("the key")?;
        ensure!(key.compromised_at.is_some(), "{full}");
    }
    Ok(())
}

async fn a_full_entry_protects_no_other_certificate(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    let (device, [named, full]) = with_two_certificates(&env).await?;
    let (id, partition) = (device.device_id, format!("LEDGER#{}", device.device_id));
    let fingerprint = fingerprint(&env, &named).await?;
    let key = (partition.as_str(), format!("CERT#{full}"));
    set(&env, (key.0, &key.1), "key_fingerprint", Some(text(&fingerprint))).await?;
    fill(&env, (key.0, &key.1)).await?;
    fill(&env, (&format!("KEY#{fingerprint}"), "META")).await?;
    let error = env.store.revoke_certificate(id, &named, KeyCompromise, Timestamp::now()).await;
    let said = error.err().context("what could not be written is not reported")?.to_string();
    ensure!(said.contains(&full) && said.contains(&format!("key {fingerprint}")), "{said}");
    let reason = reason(&env, &partition, &named).await?;
    ensure!(reason.as_deref() == Some("keyCompromise"), "{reason:?}");
    Ok(())
}

async fn a_full_entry_protects_no_other_certificate_of_a_service(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    let serials = issued_to(&env, "broker.example", 3).await?;
    let (full, others) = serials.split_first().context("three")?;
    let partition = "SERVER#broker.example";
    fill(&env, (partition, &format!("CERT#{full}"))).await?;
    let (name, now) = ("broker.example".parse()?, Timestamp::now());
    let error = env.store.revoke_service(&name, None, KeyCompromise, now).await.err();
    let said = error.context("what could not be written is not reported")?.to_string();
    ensure!(said.contains(full) && !said.contains(&others[0]), "{said}");
    for serial in others {
        let reason = reason(&env, partition, serial).await?;
        ensure!(reason.as_deref() == Some("keyCompromise"), "{serial}: {reason:?}");
    }
    Ok(())
}

/// A certificate must not be issued for the key again: who believes that it is marked would not look.
async fn a_key_that_cannot_be_marked_is_reported(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    let (device, [serial, _]) = with_two_certificates(&env).await?;
    let (id, fingerprint) = (device.device_id, fingerprint(&env, &serial).await?);
    let revoke = || env.store.revoke_certificate(id, &serial, KeyCompromise, Timestamp::now());
    // As many as there are attempts.
    env.dynamodb.fail_after(0, "TransactWriteItems", 20, Fault::Conflict);
    let said = revoke().await.err().context("the key is not reported")?.to_string();
    env.dynamodb.mend();
    ensure!(said.contains(&format!("key {fingerprint}")), "{said}");
    let revoked = reason(&env, &format!("LEDGER#{id}"), &serial).await?;
    ensure!(revoked.as_deref() == Some("keyCompromise"), "{revoked:?}");
    revoke().await?;
    let key = env.store.device_key(&fingerprint).await?.context("the key")?;
    ensure!(key.compromised_at.is_some(), "{key:?}");
    Ok(())
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
    let operator = Operator::of_env(&env)?;
    let mut serials = issued_to(&env, "broker.example", 2).await?;
    let (damaged, intact) = (serials.remove(0), serials.remove(0));
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
    publish(&env, "server", vec![intact, damaged]).await?;
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
