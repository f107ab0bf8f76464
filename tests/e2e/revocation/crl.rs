//! A revoked certificate is on the next published CRL, and independent verifiers accept that CRL.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use birthcert_tests::api::Enrolled;
use birthcert_tests::aws::emulators::{Backend, Emulators};
use birthcert_tests::env::{Env, Setup};
use birthcert_tests::operator::Operator;
use birthcert_tests::published_crl::{PublishedCrl, get};
use birthcert_tests::stack::Stack;
use birthcert_tests::verifiers::crl::{CrlVerification, text};
use crl::Publisher;
use lambda::runtime::Runtime;
use lambda::stream::Trigger;
use ledger::store::{CertificateStatus, Policy, Store};
use pki::authority::CaCertificate;
use pki::clock::Timestamp;
use pki::crl::RevocationReason::{self, AffiliationChanged, CertificateHold, KeyCompromise};
use pki::crl::{Freshness, VerifiedCrl};
use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) fn tests() -> Vec<crate::suite::BackendTest> {
    crate::suite::per_backend![
        a_revoked_device_is_on_the_next_crl,
        a_hold_comes_and_goes,
        what_was_superseded_comes_due_and_what_expired_drops_out,
        the_same_is_not_signed_twice_until_it_is_old,
        a_fast_clock_hides_no_revocation,
    ]
}

pub(crate) fn standalone_tests() -> Vec<crate::suite::StandaloneTest> {
    crate::suite::standalone![operators_see_their_revocations_published]
}

pub(crate) const QUIET: Runtime = Runtime { log: |_| {}, ..Runtime::LAMBDA };
pub(crate) const DAY: u64 = 24 * 60 * 60;

pub(crate) async fn publisher(env: &Env) -> anyhow::Result<Publisher> {
    Ok(Publisher::start(&env.config, QUIET).await?)
}

pub(crate) async fn revoke(
    env: &Env,
    device: &Enrolled,
    reason: RevocationReason,
) -> anyhow::Result<()> {
    env.store.revoke_device(device.device_id, reason, Timestamp::now()).await?;
    Ok(())
}

pub(crate) fn changes(name: &str) -> Trigger {
    Trigger::Changes(BTreeSet::from([name.to_owned()]))
}

async fn a_revoked_device_is_on_the_next_crl(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    let crl = publisher(&env).await?;
    crl.publish_due(&Trigger::Schedule).await?;
    let first = PublishedCrl::of(&env, "device").await?;
    ensure!(first.crl.is_empty() && first.denied.is_empty());
    let age = Timestamp::now().unix() - first.crl.number();
    ensure!(age < 600, "its number is the time: {}", first.crl.number());
    let server = PublishedCrl::of(&env, "server").await?;
    ensure!(server.crl.is_empty() && server.crl.denied_devices().is_none());

    let (stolen, good) = (env.api.enrolled(&env.token).await?, env.api.enrolled(&env.token).await?);
    let stolen_leaf = env.api.released(&stolen).await?;
    let good_leaf = env.api.released(&good).await?;
    let fresh = env.api.enrolled(&env.token).await?;
    revoke(&env, &stolen, KeyCompromise).await?;
    revoke(&env, &fresh, RevocationReason::Unspecified).await?;
    env.store.request_crl("device", Timestamp::now()).await?;
    ensure!(crl.publish_due(&changes("device")).await?, "it was asked for");

    let published = PublishedCrl::of(&env, "device").await?;
    ensure!(published.crl.number() > first.crl.number());
    ensure!(published.crl.freshness(Timestamp::now()) == Freshness::Fresh);
    let expected = (stolen_leaf.serial_number.clone(), "KeyCompromise".to_owned());
    ensure!(published.revoked() == [expected], "{:?}", published.revoked());
    let mut denied = [stolen.device_id, fresh.device_id].map(|id| id.to_string());
    denied.sort();
    ensure!(published.denied == denied, "one without a certificate is denied too");
    ensure!(
        PublishedCrl::of(&env, "server").await?.crl.der() == server.crl.der(),
        "not its matter"
    );

    let with_address = get(&env, "crl/device-idp.crl").await?;
    let text = text(&with_address).await?;
    ensure!(text.contains("URI:http://crl.example.com/device.crl"), "{text}");
    let with_address = VerifiedCrl::from_der(with_address, &published.ca)?.pem()?;
    for list in [published.pem.as_str(), &with_address] {
        let checked = CrlVerification::new(&env.root_pem, published.ca.pem(), list)?;
        checked.lint().await?;
        checked
            .agree(&[
                (&stolen_leaf.device_certificate_pem, Some("keyCompromise")),
                (&good_leaf.device_certificate_pem, None),
            ])
            .await?;
    }

    // A deleted device stays denied: its sessions may still be open.
    env.store.delete_device(stolen.device_id).await?;
    crl.publish_due(&Trigger::Schedule).await?;
    ensure!(PublishedCrl::of(&env, "device").await?.denied == denied);

    let index: Value = serde_json::from_slice(&get(&env, "ca/index.json").await?)?;
    let device = json!({
        "name": "device", "usage": "device", "status": "active",
        "crl": "/crl/device.crl", "certificate": "/ca/device.crt",
    });
    ensure!(index["authorities"][0] == device && index["authorities"][1]["name"] == "server");
    ensure!(get(&env, "ca/device.crt").await? == published.ca.der());
    let chain = String::from_utf8(get(&env, "ca/device.pem").await?)?;
    ensure!(chain == format!("{}{}", published.ca.pem(), env.root_pem));
    env.verify_ledger(&[stolen, good, fresh]).await
}

async fn a_hold_comes_and_goes(emulators: &Emulators, backend: Backend) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    let crl = publisher(&env).await?;
    let device = env.api.enrolled(&env.token).await?;
    let leaf = env.api.released(&device).await?;
    revoke(&env, &device, CertificateHold).await?;
    crl.publish_due(&Trigger::Schedule).await?;
    let held = PublishedCrl::of(&env, "device").await?;
    let expected = (leaf.serial_number.clone(), "CertificateHold".to_owned());
    ensure!(held.revoked() == [expected] && held.denied == [device.device_id.to_string()]);
    let checked = CrlVerification::new(&env.root_pem, held.ca.pem(), &held.pem)?;
    checked.lint().await?;
    checked.agree(&[(&leaf.device_certificate_pem, Some("certificateHold"))]).await?;

    env.store.release_hold(device.device_id).await?;
    crl.publish_due(&Trigger::Schedule).await?;
    let released = PublishedCrl::of(&env, "device").await?;
    ensure!(released.crl.is_empty() && released.denied.is_empty());
    ensure!(released.crl.number() > held.crl.number());
    let checked = CrlVerification::new(&env.root_pem, released.ca.pem(), &released.pem)?;
    checked.lint().await?;
    checked.agree(&[(&leaf.device_certificate_pem, None)]).await
}

/// Returns the publisher, with a clock that is ahead.
pub(crate) async fn later(env: &Env, clock: fn() -> Timestamp) -> anyhow::Result<Publisher> {
    Ok(Publisher::start(&env.config, Runtime { clock, log: |_| {} }).await?)
}

async fn what_was_superseded_comes_due_and_what_expired_drops_out(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let setup = Setup { policy: Policy::new(10, 24, 10)?, ..Setup::default() };
    let env = Env::with(emulators, backend, setup).await?;
    let (device, other) =
        (env.api.enrolled(&env.token).await?, env.api.enrolled(&env.token).await?);
    let old = env.api.released(&device).await?.serial_number;
    env.api.released(&device).await?;
    let revoked = env.api.released(&other).await?.serial_number;
    revoke(&env, &other, KeyCompromise).await?;

    let sorted = |serials: &[&String]| {
        let mut serials: Vec<_> = serials.iter().map(|it| (*it).clone()).collect();
        serials.sort();
        serials
    };
    let at = async |clock: fn() -> Timestamp| {
        later(&env, clock).await?.publish_due(&Trigger::Schedule).await?;
        anyhow::Ok(PublishedCrl::of(&env, "device").await?.serials())
    };
    ensure!(at(Timestamp::now).await? == [revoked.clone()], "its grace has just begun");
    ensure!(at(|| Timestamp::now().plus(DAY - 600)).await? == std::slice::from_ref(&revoked));
    let both = sorted(&[&old, &revoked]);
    ensure!(at(|| Timestamp::now().plus(DAY + 60)).await? == both, "its grace is over");
    // Ten days have passed, but each entry was due on one more CRL.
    ensure!(at(|| Timestamp::now().plus(10 * DAY + 3600)).await? == both);
    ensure!(at(|| Timestamp::now().plus(11 * DAY + 3600)).await?.is_empty());
    Ok(())
}

async fn the_same_is_not_signed_twice_until_it_is_old(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    let crl = publisher(&env).await?;
    let signatures = || env.kms.take().iter().filter(|call| call.signed_digest().is_some()).count();
    crl.publish_due(&Trigger::Schedule).await?;
    ensure!(signatures() == 4, "two forms for each of two CAs");
    let number = PublishedCrl::of(&env, "device").await?.crl.number();
    for _ in 0..3 {
        ensure!(!crl.publish_due(&Trigger::Schedule).await?);
    }
    later(&env, || Timestamp::now().plus(11 * 3600)).await?.publish_due(&Trigger::Schedule).await?;
    ensure!(signatures() == 0);
    ensure!(PublishedCrl::of(&env, "device").await?.crl.number() == number);
    later(&env, || Timestamp::now().plus(12 * 3600)).await?.publish_due(&Trigger::Schedule).await?;
    ensure!(signatures() == 4);
    let renewed = PublishedCrl::of(&env, "device").await?;
    ensure!(renewed.crl.number() > number);
    ensure!(renewed.crl.freshness(Timestamp::now().plus(7 * DAY + 3600)) == Freshness::Fresh);

    // A CRL number was reserved and not used: its owner's CRL may still be on its way.
    let taken = env.store.reserve_crl_number("device", 0, Timestamp::now()).await?;
    crl.publish_due(&Trigger::Schedule).await?;
    ensure!(PublishedCrl::of(&env, "device").await?.crl.number() > taken);
    ensure!(signatures() == 2);
    Ok(())
}

/// Revocations by a clock that is three hours fast count at once: of devices, of single certificates, of
/// brokers, on hold or for good, and also of a certificate whose grace period that clock takes for over.
async fn a_fast_clock_hides_no_revocation(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let setup = Setup { policy: Policy::new(1, 1, 10)?, ..Setup::default() };
    let env = Env::with(emulators, backend, setup).await?;
    let now = Timestamp::now();
    let fast = now.plus(3 * 3600);
    let [device, held, one, renewed] = [
        env.api.enrolled(&env.token).await?,
        env.api.enrolled(&env.token).await?,
        env.api.enrolled(&env.token).await?,
        env.api.enrolled(&env.token).await?,
    ];
    let mut expected = Vec::new();
    for (device, reason) in [(&device, "KeyCompromise"), (&held, "CertificateHold")] {
        let serial = env.api.released(device).await?.serial_number;
        expected.push((serial, reason.to_owned()));
    }
    env.store.revoke_device(device.device_id, KeyCompromise, fast).await?;
    env.store.revoke_device(held.device_id, CertificateHold, fast).await?;

    let serial = env.api.released(&one).await?.serial_number;
    let status = async |store: &Store| {
        let (_, entry) = store.certificate(&serial).await?.context("it is on the ledger")?;
        anyhow::Ok(entry.status(now))
    };
    env.store.revoke_certificate(one.device_id, &serial, AffiliationChanged, fast).await?;
    ensure!(status(&env.store).await? == CertificateStatus::Revoked);
    // Once more, with the right time and for another reason: the first one counts.
    let again = env.store.revoke_certificate(one.device_id, &serial, KeyCompromise, now).await?;
    ensure!(!again.changed);
    expected.push((serial.clone(), "AffiliationChanged".into()));

    // Its grace period ends in an hour, which is past by the fast clock.
    let old = env.api.released(&renewed).await?.serial_number;
    env.api.released(&renewed).await?;
    env.store.revoke_certificate(renewed.device_id, &old, KeyCompromise, fast).await?;
    expected.push((old, "KeyCompromise".into()));
    // Superseded, and left alone: its grace period lies in the future and is waited for.
    env.api.released(&renewed).await?;

    let crl = publisher(&env).await?;
    crl.publish_due(&Trigger::Schedule).await?;
    let published = PublishedCrl::of(&env, "device").await?;
    expected.sort();
    ensure!(published.revoked() == expected, "{:?}, not {expected:?}", published.revoked());
    ensure!(published.crl.revoked().all(|entry| entry.revoked_at <= Timestamp::now()));
    ensure!(published.denied.len() == 2);
    // The time in the future does not make the CRL another one every time that it is looked at.
    tokio::time::sleep(Duration::from_secs(1)).await;
    crl.publish_due(&Trigger::Schedule).await?;
    ensure!(PublishedCrl::of(&env, "device").await?.crl.der() == published.crl.der());

    // The last day of validity, by a clock that takes it for over.
    let last = env.api.enrolled(&env.token).await?;
    let serial = env.api.released(&last).await?.serial_number;
    let tomorrow = now.plus(DAY + 3 * 3600);
    env.store.revoke_device(last.device_id, KeyCompromise, tomorrow).await?;
    crl.publish_due(&Trigger::Schedule).await?;
    ensure!(PublishedCrl::of(&env, "device").await?.serials().contains(&serial));
    Ok(())
}

/// On the local stack, with operators' commands: the CRL follows the revocation within seconds.
async fn operators_see_their_revocations_published() -> anyhow::Result<()> {
    let scratch = TempDir::new()?;
    let stack = Stack::start(scratch.path()).await?;
    let operator = Operator::of(&stack)?;
    let status = operator.json("crl status --ca device").await?;
    ensure!(status[0]["entries"] == 0 && status[0]["number"].is_u64(), "{status}");
    let url = format!("{}/crl/device.crl", stack.state.api_url);
    let ca = stack.authority("device").await?.certificate_pem;
    let ca = CaCertificate::from_pem(&ca).map_err(anyhow::Error::msg)?;
    let fetch = async || {
        let answer = reqwest::get(&url).await?.error_for_status()?;
        Ok::<_, anyhow::Error>(VerifiedCrl::from_der(answer.bytes().await?, &ca)?)
    };
    let until = async |entries: usize| {
        let began = Instant::now();
        while fetch().await?.len() != entries {
            ensure!(began.elapsed() < Duration::from_secs(10), "no list of {entries} in 10 s");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        anyhow::Ok(began.elapsed())
    };

    let (one, leaf) = stack.new_device().await?;
    let (two, _) = stack.new_device().await?;
    let (one, two) = (one.device_id.to_string(), two.device_id.to_string());
    operator.done(&format!("device revoke {one} --reason keyCompromise --yes")).await?;
    let first = until(1).await?;
    ensure!(
        fetch().await?.revoked().next().context("one")?.serial.to_string() == leaf.serial_number
    );
    operator.done(&format!("device revoke {two} --reason certificateHold --yes")).await?;
    until(2).await?;
    operator.done(&format!("device release-hold {two} --yes")).await?;
    until(1).await?;
    operator.done(&format!("device delete {two} --yes")).await?;
    until(2).await?;
    println!("from the command's end to the list: {first:?}");

    let before = fetch().await?.number();
    let published = operator.json("crl publish --timeout 30").await?;
    ensure!(published[0]["ca"] == "device" && published[1]["ca"] == "server", "{published}");
    ensure!(published[0]["number"].as_u64() > Some(before), "{published}");
    let status = operator.json("crl status").await?;
    ensure!(status[0]["requested"] == false && status[0]["entries"] == 2, "{status}");
    let text = operator.done("crl status").await?;
    ensure!(text.contains("VALID UNTIL") && text.lines().count() == 3, "{text}");
    operator.refused("crl status --ca nobody", 3, &["there is no CA named nobody"]).await?;

    // Conditionally, as a cache does.
    let client = reqwest::Client::new();
    let answer = client.get(&url).send().await?;
    let headers = answer.headers().clone();
    ensure!(headers["content-type"] == "application/pkix-crl");
    ensure!(headers["cache-control"] == "public, max-age=5");
    for (condition, value) in
        [("if-none-match", &headers["etag"]), ("if-modified-since", &headers["last-modified"])]
    {
        let again = client.get(&url).header(condition, value).send().await?;
        ensure!(again.status() == 304 && again.headers()["etag"] == headers["etag"]);
        ensure!(again.bytes().await?.is_empty());
    }
    let other = client.get(&url).header("if-none-match", "\"x\"").send().await?;
    ensure!(other.status() == 200);
    let head = client.head(&url).send().await?;
    ensure!(head.status() == 200 && head.headers()["etag"] == headers["etag"]);
    ensure!(client.post(&url).send().await?.status() == 405);
    for missing in ["crl/other.crl", "crl/../kms/keys", "denied/"] {
        let answer = client.get(format!("{}/{missing}", stack.state.api_url)).send().await?;
        ensure!(answer.status() == 404, "{missing}: {}", answer.status());
    }

    // A request made while the stack was down is answered once it is up.
    let listed = fetch().await?.number();
    let store = stack.own_store()?;
    store.request_crl("device", Timestamp::now()).await?;
    stack.kill().await?;
    let stack = Stack::start(scratch.path()).await?;
    let status = Operator::of(&stack)?.json("crl status --ca device").await?;
    ensure!(status[0]["requested"] == false, "{status}");
    ensure!(status[0]["number"].as_u64() > Some(listed), "{status}");
    stack.stop().await
}
