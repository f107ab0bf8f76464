//! Revocation on the ledger: which certificates are revoked, since when, and which entries a CRL
//! will have.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use aws_sdk_dynamodb::types::AttributeValue;
use birthcert_tests::api::{Enrolled, Released};
use birthcert_tests::aws::emulators::{Backend, Emulators};
use birthcert_tests::env::{Env, Setup};
use futures_util::future::try_join_all;
use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;
use ledger::OperatorError;
use ledger::store::{
    CertificateOwner, CertificateStatus, DeviceStatus, LedgerEntry, Policy, RevocationOutcome,
};
use pki::clock::Timestamp;
use pki::crl::RevocationReason::{self, CertificateHold, KeyCompromise, Superseded};
use pki::token::DeviceToken;

pub(crate) fn tests() -> Vec<crate::suite::BackendTest> {
    crate::suite::per_backend![
        a_revoked_device_is_out_with_all_that_it_has,
        what_is_superseded_enters_the_index_with_its_grace,
        a_hold_is_taken_back_with_everything_as_it_was,
        one_certificate_is_revoked_and_the_device_goes_on,
        nothing_is_issued_after_a_revocation_in_the_middle,
        more_certificates_than_a_transaction_holds,
        a_retried_enrollment_undoes_no_revocation,
        a_deleted_device_leaves_its_ledger,
        a_disabled_device_waits,
        a_lifted_limit_counts_at_once,
    ]
}

const DAY: u64 = 24 * 60 * 60;

/// Returns the index's entries of the device CA until `then`: serial numbers and reasons.
async fn index(env: &Env, then: Timestamp) -> anyhow::Result<Vec<(String, String)>> {
    let page = env
        .config
        .aws
        .dynamodb()?
        .query()
        .table_name(&env.config.table_name)
        .index_name("revocations")
        .key_condition_expression("ca = :ca AND revoked_at <= :now")
        .expression_attribute_values(":ca", AttributeValue::S("device".into()))
        .expression_attribute_values(":now", AttributeValue::N(then.unix().to_string()))
        .send()
        .await?;
    ensure!(page.last_evaluated_key.is_none());
    let mut found = Vec::new();
    for item in page.items.unwrap_or_default() {
        let text = |name: &str| {
            item.get(name).and_then(|it| it.as_s().ok()).cloned().with_context(|| name.to_owned())
        };
        ensure!(item.contains_key("not_after"), "for dropping what is expired");
        found.push((text("serial_number")?, text("revocation_reason")?));
    }
    found.sort();
    Ok(found)
}

async fn entries(env: &Env, device: &Enrolled) -> anyhow::Result<Vec<LedgerEntry>> {
    Ok(env.store.device_certificates(device.device_id).await?)
}

async fn entry(env: &Env, device: &Enrolled, serial: &str) -> anyhow::Result<LedgerEntry> {
    let found = entries(env, device).await?.into_iter().find(|it| it.serial_number == serial);
    found.context("the entry")
}

async fn status(env: &Env, device: &Enrolled) -> anyhow::Result<DeviceStatus> {
    Ok(env.store.device(device.device_id).await?.context("the device")?.record.status)
}

async fn revoke(
    env: &Env,
    device: &Enrolled,
    reason: RevocationReason,
) -> anyhow::Result<RevocationOutcome> {
    Ok(env.store.revoke_device(device.device_id, reason, Timestamp::now()).await?)
}

async fn refused(env: &Env, device: &Enrolled) -> anyhow::Result<()> {
    let token = &device.device_token;
    env.api.identity(token).await?.problem(401, "invalid-device-token", &[token])
}

fn sorted(mut pairs: Vec<(String, RevocationReason)>) -> Vec<(String, String)> {
    pairs.sort_by(|one, other| one.0.cmp(&other.0));
    pairs.into_iter().map(|(serial, reason)| (serial, reason.to_string())).collect()
}

async fn a_revoked_device_is_out_with_all_that_it_has(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    let (device, other) =
        (env.api.enrolled(&env.token).await?, env.api.enrolled(&env.token).await?);
    let mut serials = Vec::new();
    for _ in 0..3 {
        serials.push(env.api.released(&device).await?.serial_number);
    }
    env.api.released(&other).await?;

    let done = revoke(&env, &device, KeyCompromise).await?;
    ensure!(done == RevocationOutcome { changed: true, certificates: 3 }, "{done:?}");
    refused(&env, &device).await?;
    let now = Timestamp::now();
    for entry in entries(&env, &device).await? {
        ensure!(entry.status(now) == CertificateStatus::Revoked, "{entry:?}");
        ensure!(entry.revocation_reason == Some(KeyCompromise), "{entry:?}");
    }
    let expected = sorted(serials.into_iter().map(|serial| (serial, KeyCompromise)).collect());
    ensure!(index(&env, now).await? == expected);

    // Again, for another reason: nothing changes, since the first reason counts.
    let again = revoke(&env, &device, RevocationReason::Unspecified).await?;
    ensure!(again == RevocationOutcome::default(), "{again:?}");
    ensure!(index(&env, Timestamp::now()).await? == expected);
    let held = env.store.revoke_device(device.device_id, CertificateHold, Timestamp::now()).await;
    ensure!(matches!(
        held,
        Err(ledger::Error::Operator(OperatorError::DeviceStatus {
            status: DeviceStatus::Revoked,
            ..
        }))
    ));
    let released = env.store.release_hold(device.device_id).await;
    ensure!(matches!(released, Err(ledger::Error::Operator(OperatorError::DeviceStatus { .. }))));
    let enabled = env.store.set_device_enabled(device.device_id, true).await;
    ensure!(matches!(enabled, Err(ledger::Error::Operator(OperatorError::DeviceStatus { .. }))));

    // A device without a certificate, and an unrelated one.
    let fresh = env.api.enrolled(&env.token).await?;
    ensure!(
        revoke(&env, &fresh, KeyCompromise).await?
            == RevocationOutcome { changed: true, certificates: 0 }
    );
    refused(&env, &fresh).await?;
    env.api.released(&other).await?;
    env.verify_ledger(&[device, other, fresh]).await
}

async fn what_is_superseded_enters_the_index_with_its_grace(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    let device = env.api.enrolled(&env.token).await?;
    let old = env.api.released(&device).await?.serial_number;
    ensure!(index(&env, Timestamp::NEVER).await?.is_empty(), "a good one is not in it");
    let before = Timestamp::now();
    env.api.released(&device).await?;

    let entry = entry(&env, &device, &old).await?;
    let superseded = entry.superseded_at.context("superseded")?;
    ensure!(superseded >= before && entry.revoked_at == Some(superseded.plus(DAY)), "{entry:?}");
    ensure!(entry.status(before) == CertificateStatus::Superseded);
    ensure!(index(&env, Timestamp::now()).await?.is_empty(), "its grace has just begun");
    ensure!(index(&env, superseded.plus(DAY - 1)).await?.is_empty());
    let expected = sorted(vec![(old, Superseded)]);
    ensure!(index(&env, superseded.plus(DAY)).await? == expected);
    ensure!(entry.status(superseded.plus(DAY)) == CertificateStatus::Revoked);
    Ok(())
}

async fn a_hold_is_taken_back_with_everything_as_it_was(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    let device = env.api.enrolled(&env.token).await?;
    for _ in 0..2 {
        env.api.released(&device).await?;
    }
    let before = entries(&env, &device).await?;
    ensure!(revoke(&env, &device, CertificateHold).await?.certificates == 2);
    ensure!(status(&env, &device).await? == DeviceStatus::Held);
    refused(&env, &device).await?;
    ensure!(index(&env, Timestamp::now()).await?.len() == 2);
    ensure!(revoke(&env, &device, CertificateHold).await? == RevocationOutcome::default());
    let now = Timestamp::now();
    let all = entries(&env, &device).await?;
    ensure!(all.iter().all(|it| it.status(now) == CertificateStatus::OnHold), "{all:?}");

    let id = device.device_id;
    ensure!(
        env.store.release_hold(id).await? == RevocationOutcome { changed: true, certificates: 2 }
    );
    ensure!(entries(&env, &device).await? == before, "the grace of the superseded one too");
    ensure!(status(&env, &device).await? == DeviceStatus::Active);
    ensure!(index(&env, Timestamp::now()).await?.is_empty());
    ensure!(env.store.release_hold(id).await? == RevocationOutcome::default());
    env.api.released(&device).await?;

    // A certificate that was on hold by itself stays on hold when the device is released.
    let own = entries(&env, &device).await?.pop().context("the newest")?.serial_number;
    let fast_clock = Timestamp::now().plus(60);
    env.store.revoke_certificate(id, &own, CertificateHold, fast_clock).await?;
    revoke(&env, &device, CertificateHold).await?;
    ensure!(
        env.store.release_hold(id).await? == RevocationOutcome { changed: true, certificates: 2 }
    );
    ensure!(status(&env, &device).await? == DeviceStatus::Active);
    ensure!(index(&env, fast_clock).await? == [(own, CertificateHold.to_string())]);
    ensure!(
        env.store.release_hold(id).await? == RevocationOutcome { changed: true, certificates: 1 }
    );
    ensure!(index(&env, Timestamp::now()).await?.is_empty());

    // A disabled device stays disabled, and a hold can become permanent.
    env.store.set_device_enabled(id, false).await?;
    revoke(&env, &device, CertificateHold).await?;
    env.store.release_hold(id).await?;
    ensure!(status(&env, &device).await? == DeviceStatus::Disabled);
    revoke(&env, &device, CertificateHold).await?;
    let held_at = entries(&env, &device).await?[0].revoked_at;
    ensure!(
        revoke(&env, &device, KeyCompromise).await?
            == RevocationOutcome { changed: true, certificates: 3 }
    );
    let first = &entries(&env, &device).await?[0];
    ensure!(first.revoked_at == held_at && first.revocation_reason == Some(KeyCompromise));
    ensure!(matches!(
        env.store.release_hold(id).await,
        Err(ledger::Error::Operator(OperatorError::DeviceStatus { .. }))
    ));
    ensure!(index(&env, Timestamp::now()).await?.iter().all(|(_, it)| it == "keyCompromise"));
    Ok(())
}

async fn one_certificate_is_revoked_and_the_device_goes_on(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    let device = env.api.enrolled(&env.token).await?;
    let id = device.device_id;
    let (one, two) = (env.api.released(&device).await?, env.api.released(&device).await?);
    let revoke = async |serial: &str, reason| {
        env.store.revoke_certificate(id, serial, reason, Timestamp::now()).await
    };
    let done = revoke(&two.serial_number, KeyCompromise).await?;
    ensure!(done == RevocationOutcome { changed: true, certificates: 1 });
    ensure!(revoke(&two.serial_number, CertificateHold).await? == RevocationOutcome::default());
    let missing = revoke(&"4".repeat(32), KeyCompromise).await;
    ensure!(matches!(missing, Err(ledger::Error::Operator(OperatorError::Missing(_)))));
    ensure!(status(&env, &device).await? == DeviceStatus::Active);

    // A revoked certificate stays revoked when a newer one replaces it; a certificate that is
    // superseded while on hold does not become good again.
    let three = env.api.released(&device).await?;
    let second = entry(&env, &device, &two.serial_number).await?;
    ensure!(second.revocation_reason == Some(KeyCompromise), "{second:?}");
    ensure!(second.superseded_at.is_some() && second.revoked_at <= Some(Timestamp::now()));
    ensure!(revoke(&three.serial_number, CertificateHold).await?.changed);
    env.api.released(&device).await?;
    ensure!(env.store.release_hold(id).await?.certificates == 1);
    let third = entry(&env, &device, &three.serial_number).await?;
    ensure!(third.status(Timestamp::now()) == CertificateStatus::Revoked, "{third:?}");
    ensure!(third.revocation_reason == Some(Superseded), "{third:?}");
    let now = index(&env, Timestamp::now()).await?;
    let expected = vec![(two.serial_number, KeyCompromise), (three.serial_number, Superseded)];
    ensure!(now == sorted(expected), "{now:?}");
    let first = entry(&env, &device, &one.serial_number).await?;
    ensure!(first.status(Timestamp::now()) == CertificateStatus::Superseded);
    Ok(())
}

/// Sixteen devices are revoked while two clients each request identities for them without a pause.
/// With that many, some certificates are issued between a revocation's read and its write.
async fn nothing_is_issued_after_a_revocation_in_the_middle(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let setup = Setup { policy: Policy::new(365, 24, 1000)?, ..Setup::default() };
    let env = Env::with(emulators, backend, setup).await?;
    let devices = try_join_all((0..16).map(|_| env.api.enrolled(&env.token))).await?;
    let in_the_middle = async |device: &Enrolled| {
        let token = &device.device_token;
        let ask = async || {
            let mut answers = Vec::new();
            loop {
                let (began, answer) = (Instant::now(), env.api.identity(token).await?);
                match answer.status {
                    200 => answers.push((began, answer.success::<Released>()?.serial_number)),
                    401 => return anyhow::Ok(answers),
                    _ => answer.problem(503, "busy", &[token])?,
                }
            }
        };
        let revoke = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            revoke(&env, device, KeyCompromise).await?;
            anyhow::Ok(Instant::now())
        };
        let (one, two, revoked) = tokio::try_join!(ask(), ask(), revoke)?;
        let (entries, now) = (entries(&env, device).await?, Timestamp::now());
        for entry in &entries {
            ensure!(entry.status(now) == CertificateStatus::Revoked, "{entry:?}");
        }
        for (began, serial) in one.into_iter().chain(two) {
            ensure!(began < revoked, "an identity was issued after the revocation");
            ensure!(entries.iter().any(|it| it.serial_number == serial), "{serial}");
        }
        anyhow::Ok(entries.len())
    };
    let issued: usize = try_join_all(devices.iter().map(in_the_middle)).await?.into_iter().sum();
    ensure!(issued > 0, "nothing was issued before a revocation");
    ensure!(index(&env, Timestamp::now()).await?.len() == issued);
    env.verify_ledger(&devices).await
}

async fn more_certificates_than_a_transaction_holds(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    const MANY: usize = 103;
    let setup = Setup { policy: Policy::new(365, 24, 1000)?, ..Setup::default() };
    let env = Env::with(emulators, backend, setup).await?;
    let device = env.api.enrolled(&env.token).await?;
    for _ in 0..MANY {
        env.api.released(&device).await?;
    }
    let before = entries(&env, &device).await?;
    let all = RevocationOutcome { changed: true, certificates: MANY };
    ensure!(revoke(&env, &device, CertificateHold).await? == all);
    ensure!(index(&env, Timestamp::now()).await?.len() == MANY);
    ensure!(env.store.release_hold(device.device_id).await? == all);
    ensure!(entries(&env, &device).await? == before);
    ensure!(revoke(&env, &device, KeyCompromise).await? == all);
    let now = Timestamp::now();
    let entries = entries(&env, &device).await?;
    ensure!(entries.iter().all(|it| it.status(now) == CertificateStatus::Revoked));
    Ok(())
}

/// The SDK repeats a write whose response was lost, some seconds later.
async fn a_retried_enrollment_undoes_no_revocation(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    let device = env.api.enrolled(&env.token).await?;
    let token = DeviceToken::parse(&device.device_token)?;
    let record = env.store.device(device.device_id).await?.context("the device")?.record;
    env.api.released(&device).await?;
    revoke(&env, &device, KeyCompromise).await?;

    env.store.create_device(&record, &token).await?;
    ensure!(status(&env, &device).await? == DeviceStatus::Revoked);
    refused(&env, &device).await?;

    let rng = &mut UnwrapErr(SysRng);
    let anothers = DeviceToken::generate(env.project, device.device_id, rng);
    let error = env.store.create_device(&record, &anothers).await.err().context("done")?;
    ensure!(matches!(error, ledger::Error::Operator(OperatorError::Exists(_))), "{error}");
    refused(&env, &device).await
}

async fn a_deleted_device_leaves_its_ledger(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    let device = env.api.enrolled(&env.token).await?;
    let id = device.device_id;
    let serial = env.api.released(&device).await?.serial_number;
    let good = env.store.delete_device(id).await;
    ensure!(matches!(
        good,
        Err(ledger::Error::Operator(OperatorError::DeviceStatus {
            status: DeviceStatus::Active,
            ..
        }))
    ));
    revoke(&env, &device, RevocationReason::CessationOfOperation).await?;
    env.store.delete_device(id).await?;
    // The SDK retries after the first response is lost.
    env.store.delete_device(id).await?;

    ensure!(env.store.device(id).await?.is_none());
    ensure!(env.store.devices(env.project, None).await?.is_empty());
    refused(&env, &device).await?;
    let (owner, entry) = env.store.certificate(&serial).await?.context("the certificate")?;
    ensure!(owner == CertificateOwner::Device(id));
    ensure!(entry.revocation_reason == Some(RevocationReason::CessationOfOperation));
    ensure!(index(&env, Timestamp::now()).await?.len() == 1);
    let again = env.store.revoke_device(id, KeyCompromise, Timestamp::now()).await;
    ensure!(matches!(again, Err(ledger::Error::Operator(OperatorError::Missing(_)))));
    env.verify_ledger(&[device]).await
}

async fn a_disabled_device_waits(emulators: &Emulators, backend: Backend) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    let device = env.api.enrolled(&env.token).await?;
    let serial = env.api.released(&device).await?.serial_number;
    ensure!(env.store.set_device_enabled(device.device_id, false).await?);
    ensure!(!env.store.set_device_enabled(device.device_id, false).await?);
    refused(&env, &device).await?;
    let entry = entry(&env, &device, &serial).await?;
    ensure!(entry.status(Timestamp::now()) == CertificateStatus::Good, "only the token is out");
    ensure!(env.store.set_device_enabled(device.device_id, true).await?);
    env.api.released(&device).await?;
    env.verify_ledger(&[device]).await
}

async fn a_lifted_limit_counts_at_once(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let setup = Setup { policy: Policy::new(365, 24, 2)?, ..Setup::default() };
    let env = Env::with(emulators, backend, setup).await?;
    let device = env.api.enrolled(&env.token).await?;
    let token = &device.device_token;
    let reached =
        async || env.api.identity(token).await?.problem(429, "issuance-limit-reached", &[token]);
    for _ in 0..2 {
        env.api.released(&device).await?;
    }
    reached().await?;
    env.store.lift_issuance_limit(device.device_id, Some(3)).await?;
    for _ in 0..3 {
        env.api.released(&device).await?;
    }
    reached().await?;
    let details = env.store.device(device.device_id).await?.context("the device")?;
    ensure!((details.issued, details.issuance_limit) == (5, Some(5)), "{details:?}");
    env.store.lift_issuance_limit(device.device_id, None).await?;
    reached().await
}
