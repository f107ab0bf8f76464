//! A switch of CAs, as devices and brokers see it.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use birthcert_tests::aws::emulators::{Backend, Emulators};
use birthcert_tests::aws::proxy::Fault;
use birthcert_tests::mqtt::mosquitto_clients::{MosquittoClient, Outcome};
use birthcert_tests::verifiers::openssl::{self, Purpose, Verdict};
use futures_util::future::join_all;
use tokio::time::sleep;

use super::setup::{a_minute_passes, expect, issuer, prepared, start};
use crate::brokers::root_trust::EnvWithBroker;

pub(super) fn tests() -> Vec<crate::suite::BackendTest> {
    crate::suite::per_backend![
        two_generations_meet_at_one_broker,
        a_switch_under_load,
        a_broken_successor_stops_issuance_until_the_switch_is_taken_back,
        a_successor_that_kms_is_slow_with,
        a_broker_renews_from_the_next_ca,
    ]
}

async fn publishes(client: &MosquittoClient, device: &str) -> anyhow::Result<()> {
    let outcome = client.publish(&format!("devices/{device}/x"), "x").await?;
    ensure!(outcome == Outcome::Published, "{device}: {outcome:?}");
    Ok(())
}

async fn two_generations_meet_at_one_broker(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let (env, operator) = start(emulators, backend).await?;
    let fleet = EnvWithBroker::around(env).await?;
    let env = &fleet.env;
    // The broker's certificate is not one of a device.
    env.kms.take();
    let first = env.store.authority("device").await?.context("a CA")?;
    let (old, olds) = fleet.device().await?;
    publishes(&olds, &old.device_id.to_string()).await?;

    // A prepared CA is known and does not issue.
    let second = prepared(env, &operator, "device-2").await?;
    let server = ("server", "active");
    expect(&operator, &[("device", "active"), ("device-2", "prepared"), server]).await?;
    let both = [first, second];
    a_minute_passes();
    let before = env.api.released(&old).await?;
    ensure!(issuer(env, &old, &before, &both).await? == "device");

    // AWS IoT does not trust the root, so the CA is registered beforehand.
    operator.run("broker config aws-iot --ca device-2 --output-directory iot").await?;
    ensure!(operator.read("iot/device-ca.pem")? == both[1].certificate_pem);
    let config = "broker config aws-iot --output-directory other --ca";
    operator.refused(&format!("{config} device-3"), 3, &["no CA named device-3"]).await?;
    operator.refused(&format!("{config} server"), 1, &["server is not a CA for devices"]).await?;

    operator.done("ca activate --name device-2 --yes").await?;
    expect(&operator, &[("device", "retired"), ("device-2", "active"), server]).await?;
    a_minute_passes();
    let (new, news) = fleet.device().await?;
    let identity = env.api.released(&new).await?;
    ensure!(issuer(env, &new, &identity, &both).await? == "device-2");
    let text = openssl::text(&identity.device_certificate_pem).await?;
    ensure!(text.contains("Issuer: CN = Test device-2 CA"), "{text}");
    ensure!(text.contains("URI:http://crl.example.com/device-2.crl"), "{text}");
    // The broker trusts only the root, and was not told of the switch.
    publishes(&olds, &old.device_id.to_string()).await?;
    publishes(&news, &new.device_id.to_string()).await?;

    operator.done("ca activate --name device --yes").await?;
    expect(&operator, &[("device", "active"), ("device-2", "retired"), server]).await?;
    a_minute_passes();
    let (third, thirds) = fleet.device().await?;
    let back = env.api.released(&third).await?;
    ensure!(issuer(env, &third, &back, &both).await? == "device");
    publishes(&news, &new.device_id.to_string()).await?;
    publishes(&thirds, &third.device_id.to_string()).await?;
    env.verify_ledger(&[old, new, third]).await
}

async fn a_switch_under_load(emulators: &Emulators, backend: Backend) -> anyhow::Result<()> {
    let (env, operator) = start(emulators, backend).await?;
    let first = env.store.authority("device").await?.context("a CA")?;
    let both = [first, prepared(&env, &operator, "device-2").await?];
    let mut devices = Vec::new();
    for _ in 0..6 {
        devices.push(env.api.enrolled(&env.token).await?);
    }

    // Set once a minute has passed since the switch; requests after that are answered by the new
    // CA.
    let (passed, end) = (AtomicBool::new(false), AtomicBool::new(false));
    let ask = async |device| {
        let mut released = Vec::new();
        while !end.load(Ordering::SeqCst) {
            let is_after = passed.load(Ordering::SeqCst);
            released.push((is_after, env.api.released(device).await?));
        }
        anyhow::Ok(released)
    };
    let operate = async {
        sleep(Duration::from_millis(200)).await;
        operator.done("ca activate --name device-2 --yes").await?;
        sleep(Duration::from_millis(100)).await;
        a_minute_passes();
        passed.store(true, Ordering::SeqCst);
        sleep(Duration::from_millis(200)).await;
        end.store(true, Ordering::SeqCst);
        anyhow::Ok(())
    };
    let (released, operated) = tokio::join!(join_all(devices.iter().map(ask)), operate);
    operated?;

    let (mut old, mut new) = (0, 0);
    for (device, released) in devices.iter().zip(released) {
        for (is_after, identity) in released? {
            match issuer(&env, device, &identity, &both).await? {
                "device" => {
                    ensure!(!is_after, "the retired CA went on");
                    old += 1;
                }
                _ => new += 1,
            }
        }
    }
    ensure!(old > 0 && new > 0, "{old} by the old one, {new} by the new one");
    env.verify_ledger(&devices).await
}

/// Only an operator's command reactivates the retired CA.
async fn a_broken_successor_stops_issuance_until_the_switch_is_taken_back(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let (env, operator) = start(emulators, backend).await?;
    let device = env.api.enrolled(&env.token).await?;
    env.api.released(&device).await?;
    let first = env.store.authority("device").await?.context("a CA")?;
    let server = env.store.authority("server").await?.context("a CA")?;

    // Bypasses the operator's command, which would refuse.
    let mut broken = env.certified("device-2", birthcert_tests::env::YEAR).await?;
    broken.key_arn = server.key_arn;
    env.store.prepare_authority(&broken).await?;
    env.store.activate_authority(&broken.name, Some(&first.name), super::setup::ahead()).await?;
    a_minute_passes();
    env.verify_ledger(std::slice::from_ref(&device)).await?;
    for _ in 0..2 {
        let answer = env.api.identity(&device.device_token).await?;
        answer.problem(503, "ca-unavailable", &[&device.device_token])?;
        ensure!(env.kms.take().iter().all(|call| call.operation != "Sign"), "KMS was asked");
    }

    operator.done("ca activate --name device --yes").await?;
    let identity = env.api.released(&device).await?;
    ensure!(issuer(&env, &device, &identity, &[first]).await? == "device");
    env.verify_ledger(&[device]).await
}

async fn a_successor_that_kms_is_slow_with(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let (env, operator) = start(emulators, backend).await?;
    let device = env.api.enrolled(&env.token).await?;
    env.api.released(&device).await?;
    let second = prepared(&env, &operator, "device-2").await?;
    operator.done("ca activate --name device-2 --yes").await?;
    a_minute_passes();
    for fault in [Fault::Throttled, Fault::Away] {
        env.kms.fail("GetPublicKey", fault);
        let answer = env.api.identity(&device.device_token).await?;
        env.kms.mend();
        ensure!(answer.status == 503, "{fault:?}: {answer:?}");
    }
    env.kms.fail("GetPublicKey", Fault::OtherKey);
    let answer = env.api.identity(&device.device_token).await?;
    env.kms.mend();
    answer.problem(503, "ca-unavailable", &[&device.device_token])?;
    let identity = env.api.released(&device).await?;
    ensure!(issuer(&env, &device, &identity, &[second]).await? == "device-2");
    // Checked once, and not again until something changes.
    env.kms.take();
    a_minute_passes();
    env.api.released(&device).await?;
    let calls: Vec<_> = env.kms.take().into_iter().map(|call| call.operation).collect();
    ensure!(calls == ["Sign"], "{calls:?}");
    env.verify_ledger(&[device]).await
}

async fn a_broker_renews_from_the_next_ca(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let (env, operator) = start(emulators, backend).await?;
    operator.done("broker issue --dns mqtt.example.com --directory broker").await?;
    let second = prepared(&env, &operator, "server-2").await?;
    operator.done("ca activate --name server-2 --yes").await?;
    operator.done("broker renew --directory broker --within 400d").await?;
    operator.done("broker issue --dns other.example.com --directory other").await?;
    for directory in ["broker", "other"] {
        let chain = fs::read_to_string(operator.path(directory).join("broker-chain.pem"))?;
        let leaf = chain.strip_suffix(&second.certificate_pem).context("another CA")?;
        let above = &second.certificate_pem;
        let verdict = openssl::verify(leaf, above, &env.root_pem, Purpose::Server).await?;
        ensure!(verdict == Verdict::Accepted, "{verdict:?}");
    }
    let entries = env.store.service_certificates().await?;
    let mut cas: Vec<_> = entries.iter().map(|it| it.entry.ca.as_str()).collect();
    cas.sort_unstable();
    ensure!(cas == ["server", "server-2", "server-2"], "{cas:?}");
    // This function does not use the CA for devices.
    let server = [("device", "active"), ("server", "retired"), ("server-2", "active")];
    expect(&operator, &server).await
}
