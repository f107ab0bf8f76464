//! Keys belong to one device, and to none once compromised.

use anyhow::{Context as _, ensure};
use birthcert_tests::api::{Certified, Enrolled};
use birthcert_tests::aws::emulators::{Backend, Emulators};
use birthcert_tests::env::Env;
use birthcert_tests::verifiers::openssl;
use futures_util::future::join_all;
use ledger::store::{CertificateStatus, RevocationOutcome};
use pki::clock::Timestamp;
use pki::crl::RevocationReason::{KeyCompromise, Superseded, Unspecified};
use std::fs;

pub(crate) fn tests() -> Vec<crate::suite::BackendTest> {
    crate::suite::per_backend![
        a_key_belongs_to_one_device,
        a_generated_key_belongs_to_its_device_too,
        of_many_devices_at_once_one_gets_the_key,
        one_device_asks_many_times_at_once,
        a_compromised_key_is_certified_for_nobody,
        a_revoked_devices_keys_stay_its_own,
    ]
}

/// Returns CSRs, each with a new key.
async fn requests<const N: usize>(env: &Env) -> anyhow::Result<[String; N]> {
    let mut requests = [const { String::new() }; N];
    for request in &mut requests {
        let key = env.scratch.path().join("key.pem");
        openssl::new_key(&key, "-algorithm EC -pkeyopt ec_paramgen_curve:P-256").await?;
        *request = openssl::request(&key, "").await?;
    }
    Ok(requests)
}

async fn issued(env: &Env, device: &Enrolled) -> anyhow::Result<u32> {
    Ok(env.store.device(device.device_id).await?.context("the device")?.issued)
}

async fn refused(env: &Env, device: &Enrolled, csr: &str, slug: &str) -> anyhow::Result<()> {
    let (before, entries) =
        (issued(env, device).await?, env.store.device_certificates(device.device_id).await?);
    let answer = env.api.certify(device, csr).await?;
    answer.problem(409, slug, &[&device.device_token])?;
    ensure!(issued(env, device).await? == before, "it was counted");
    ensure!(env.store.device_certificates(device.device_id).await? == entries, "the ledger");
    Ok(())
}

async fn a_key_belongs_to_one_device(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    let (alice, bob) = (env.api.enrolled(&env.token).await?, env.api.enrolled(&env.token).await?);
    let [first, second] = requests(&env).await?;
    let one = env.api.certified(&alice, &first).await?;
    refused(&env, &bob, &first, "key-in-use").await?;

    // Alice renews with her old key, which supersedes as usual, and then switches to another.
    let two = env.api.certified(&alice, &first).await?;
    ensure!(one.serial_number != two.serial_number);
    env.api.certified(&alice, &second).await?;
    env.api.certified(&alice, &first).await?;
    let entries = env.store.device_certificates(alice.device_id).await?;
    ensure!(entries.len() == 4 && issued(&env, &alice).await? == 4);
    ensure!(entries.iter().filter(|entry| entry.superseded_at.is_none()).count() == 1);

    // Bob had no certificate before and has one now: the key is checked on both paths.
    env.api.released(&bob).await?;
    for csr in [&first, &second] {
        refused(&env, &bob, csr, "key-in-use").await?;
    }
    env.verify_ledger(&[alice, bob]).await
}

async fn a_generated_key_belongs_to_its_device_too(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    let (alice, bob) = (env.api.enrolled(&env.token).await?, env.api.enrolled(&env.token).await?);
    let identity = env.api.released(&alice).await?;
    let key = env.scratch.path().join("generated.pem");
    fs::write(&key, &identity.device_private_key_pem)?;
    let csr = openssl::request(&key, "").await?;
    refused(&env, &bob, &csr, "key-in-use").await?;
    env.api.certified(&alice, &csr).await?;
    env.verify_ledger(&[alice, bob]).await
}

async fn of_many_devices_at_once_one_gets_the_key(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    for count in [2, 2, 2, 16] {
        let [csr] = requests(&env).await?;
        let mut devices = Vec::new();
        for _ in 0..count {
            devices.push(env.api.enrolled(&env.token).await?);
        }
        let answers = join_all(devices.iter().map(|device| env.api.certify(device, &csr))).await;
        let mut owner = None;
        for (device, answer) in devices.iter().zip(answers) {
            let answer = answer?;
            let certified = match answer.status {
                200 => {
                    answer.success::<Certified>()?;
                    ensure!(owner.replace(device.device_id).is_none(), "two got it");
                    1
                }
                // With this many writes to one item, some may be told to retry.
                503 if count > 2 => {
                    answer.problem(503, "busy", &[&device.device_token])?;
                    0
                }
                _ => {
                    answer.problem(409, "key-in-use", &[&device.device_token])?;
                    0
                }
            };
            ensure!(issued(&env, device).await? == certified);
            let entries = env.store.device_certificates(device.device_id).await?;
            ensure!(entries.len() == certified as usize);
        }
        ensure!(owner.is_some(), "nobody got it");
        env.verify_ledger(&devices).await?;
    }
    Ok(())
}

async fn one_device_asks_many_times_at_once(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    let device = env.api.enrolled(&env.token).await?;
    let [csr] = requests(&env).await?;
    let answers = join_all((0..8).map(|_| env.api.certify(&device, &csr))).await;
    let mut certified = 0;
    for answer in answers {
        let answer = answer?;
        match answer.status {
            200 => certified += 1,
            _ => answer.problem(503, "busy", &[&device.device_token])?,
        }
    }
    ensure!(certified > 0 && issued(&env, &device).await? == certified);
    let entries = env.store.device_certificates(device.device_id).await?;
    ensure!(entries.iter().filter(|entry| entry.superseded_at.is_none()).count() == 1);
    env.verify_ledger(&[device]).await
}

async fn a_compromised_key_is_certified_for_nobody(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    let (alice, bob) = (env.api.enrolled(&env.token).await?, env.api.enrolled(&env.token).await?);
    let [leaked, kept] = requests(&env).await?;
    let id = alice.device_id;
    let revoke = async |serial: &str, reason| {
        env.store.revoke_certificate(id, serial, reason, Timestamp::now()).await
    };
    let old = env.api.certified(&alice, &leaked).await?;
    let other = env.api.certified(&alice, &kept).await?;
    let new = env.api.certified(&alice, &leaked).await?;

    // Revoked for another reason, the key stays usable.
    ensure!(revoke(&new.serial_number, Unspecified).await?.certificates == 1);
    let newer = env.api.certified(&alice, &leaked).await?;

    // The certificate in its grace period has the same key.
    let done = revoke(&newer.serial_number, KeyCompromise).await?;
    ensure!(done == RevocationOutcome { changed: true, certificates: 2 }, "{done:?}");
    let now = Timestamp::now();
    let entries = env.store.device_certificates(id).await?;
    let entry = |serial: &str| entries.iter().find(|it| it.serial_number == serial);
    for (serial, status, reason) in [
        (&old.serial_number, CertificateStatus::Revoked, KeyCompromise),
        (&other.serial_number, CertificateStatus::Superseded, Superseded),
        (&new.serial_number, CertificateStatus::Revoked, Unspecified),
        (&newer.serial_number, CertificateStatus::Revoked, KeyCompromise),
    ] {
        let entry = entry(serial).context("an entry")?;
        ensure!(entry.status(now) == status, "{entry:?}");
        ensure!(entry.revocation_reason == Some(reason), "{entry:?}");
    }
    ensure!(revoke(&newer.serial_number, KeyCompromise).await? == RevocationOutcome::default());

    for device in [&alice, &bob] {
        refused(&env, device, &leaked, "key-compromised").await?;
    }
    env.api.certified(&alice, &kept).await?;

    // A certificate revoked for another reason counts too: a key compromise learned later applies
    // to it.
    ensure!(revoke(&other.serial_number, Superseded).await?.changed);
    let done = revoke(&other.serial_number, KeyCompromise).await?;
    ensure!(done.certificates == 2, "the live one, and the superseded one: {done:?}");
    refused(&env, &alice, &kept, "key-compromised").await?;

    // The same for a key that the service generated.
    let generated = env.api.released(&bob).await?;
    let key = env.scratch.path().join("generated.pem");
    fs::write(&key, &generated.device_private_key_pem)?;
    let csr = openssl::request(&key, "").await?;
    let done = env.store.revoke_certificate(
        bob.device_id,
        &generated.serial_number,
        KeyCompromise,
        Timestamp::now(),
    );
    ensure!(done.await?.certificates == 1);
    for device in [&alice, &bob] {
        refused(&env, device, &csr, "key-compromised").await?;
    }
    env.verify_ledger(&[alice, bob]).await
}

async fn a_revoked_devices_keys_stay_its_own(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    let bob = env.api.enrolled(&env.token).await?;
    for (reason, slug) in [(Unspecified, "key-in-use"), (KeyCompromise, "key-compromised")] {
        let alice = env.api.enrolled(&env.token).await?;
        let [one, two] = requests(&env).await?;
        for csr in [&one, &two, &one] {
            env.api.certified(&alice, csr).await?;
        }
        env.store.revoke_device(alice.device_id, reason, Timestamp::now()).await?;
        for csr in [&one, &two] {
            refused(&env, &bob, csr, slug).await?;
            let answer = env.api.certify(&alice, csr).await?;
            answer.problem(401, "invalid-device-token", &[&alice.device_token])?;
        }
        env.store.delete_device(alice.device_id).await?;
        for csr in [&one, &two] {
            refused(&env, &bob, csr, slug).await?;
        }
        env.verify_ledger(&[alice]).await?;
    }
    Ok(())
}
