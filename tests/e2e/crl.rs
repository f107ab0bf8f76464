//! What is revoked is in the list that is published next, and the list holds before everybody's eyes.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use birthcert::authority::CaCertificate;
use birthcert::bucket::{Bucket, Object, Put};
use birthcert::clock::Timestamp;
use birthcert::crl::{Freshness, VerifiedCrl};
use birthcert::revocation::RevocationReason::{self, CertificateHold, KeyCompromise};
use birthcert::store::Policy;
use birthcert::trigger::Trigger;
use birthcert::world::World;
use birthcert_tests::api::Enrolled;
use birthcert_tests::counterparties::{Counterparties, Pair, binary};
use birthcert_tests::env::{Env, Setup};
use birthcert_tests::function;
use birthcert_tests::operator::Operator;
use birthcert_tests::proxy::Fault;
use birthcert_tests::published::{Published, get};
use birthcert_tests::revocation::{self, Checked};
use birthcert_tests::runtime_api::RuntimeApi;
use birthcert_tests::stack::Stack;
use crl::Crl;
use futures_util::future::try_join_all;
use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) fn tests() -> Vec<crate::Paired> {
    crate::paired![
        a_revoked_device_is_in_the_next_list,
        a_hold_comes_and_goes,
        what_was_superseded_comes_due_and_what_expired_drops_out,
        the_same_is_not_signed_twice_until_it_is_old,
        a_request_is_looked_at_twice,
        a_second_request_does_not_wait_for_the_first,
        a_fast_clock_hides_no_revocation,
        publishers_at_once_never_go_back,
        the_bucket_takes_no_older_number,
        a_table_from_a_backup_goes_on_above_the_bucket,
        the_program_answers_events,
    ]
}

pub(crate) fn tests_alone() -> Vec<crate::Alone> {
    crate::alone![operators_see_their_revocations_published]
}

const QUIET: World = World { log: |_| {}, ..World::REAL };
const DAY: u64 = 24 * 60 * 60;

async fn publisher(env: &Env) -> anyhow::Result<Crl> {
    Ok(Crl::start(&env.config, QUIET).await?)
}

async fn revoke(env: &Env, device: &Enrolled, reason: RevocationReason) -> anyhow::Result<()> {
    env.store.revoke_device(device.device_id, reason, Timestamp::now()).await?;
    Ok(())
}

fn changes(name: &str) -> Trigger {
    Trigger::Changes(BTreeSet::from([name.to_owned()]))
}

async fn a_revoked_device_is_in_the_next_list(
    counterparties: &Counterparties,
    pair: Pair,
) -> anyhow::Result<()> {
    let env = Env::start(counterparties, pair).await?;
    let crl = publisher(&env).await?;
    crl.pass(&Trigger::Time).await?;
    let first = Published::of(&env, "device").await?;
    ensure!(first.crl.is_empty() && first.denied.is_empty());
    let age = Timestamp::now().unix() - first.crl.number();
    ensure!(age < 600, "its number is the time: {}", first.crl.number());
    let server = Published::of(&env, "server").await?;
    ensure!(server.crl.is_empty() && server.crl.denied_devices().is_none());

    let (stolen, good) = (env.api.enrolled(&env.token).await?, env.api.enrolled(&env.token).await?);
    let stolen_leaf = env.api.released(&stolen).await?;
    let good_leaf = env.api.released(&good).await?;
    let fresh = env.api.enrolled(&env.token).await?;
    revoke(&env, &stolen, KeyCompromise).await?;
    revoke(&env, &fresh, RevocationReason::Unspecified).await?;
    env.store.request_crl("device", Timestamp::now()).await?;
    ensure!(crl.pass(&changes("device")).await?, "it was asked for");

    let published = Published::of(&env, "device").await?;
    ensure!(published.crl.number() > first.crl.number());
    ensure!(published.crl.freshness(Timestamp::now()) == Freshness::Fresh);
    let expected = (stolen_leaf.serial_number.clone(), "KeyCompromise".to_owned());
    ensure!(published.revoked() == [expected], "{:?}", published.revoked());
    let mut denied = [stolen.device_id, fresh.device_id].map(|id| id.to_string());
    denied.sort();
    ensure!(published.denied == denied, "one without a certificate is denied too");
    ensure!(Published::of(&env, "server").await?.crl.der() == server.crl.der(), "not its matter");

    let with_address = get(&env, "crl/device-idp.crl").await?;
    let text = revocation::text(&with_address).await?;
    ensure!(text.contains("URI:http://crl.example.com/device.crl"), "{text}");
    let with_address = VerifiedCrl::from_der(with_address, &published.ca)?.pem()?;
    for list in [published.pem.as_str(), &with_address] {
        let checked = Checked::new(&env.root_pem, published.ca.pem(), list)?;
        checked.lint().await?;
        checked
            .agree(&[
                (&stolen_leaf.device_certificate_pem, Some("keyCompromise")),
                (&good_leaf.device_certificate_pem, None),
            ])
            .await?;
    }

    // A deleted device stays denied: its sessions may live still.
    env.store.delete_device(stolen.device_id, Timestamp::now()).await?;
    crl.pass(&Trigger::Time).await?;
    ensure!(Published::of(&env, "device").await?.denied == denied);

    let index: Value = serde_json::from_slice(&get(&env, "ca/index.json").await?)?;
    let device = json!({
        "name": "device", "usage": "device", "status": "active",
        "crl": "/crl/device.crl", "certificate": "/ca/device.crt",
    });
    ensure!(index["authorities"][0] == device && index["authorities"][1]["name"] == "server");
    ensure!(get(&env, "ca/device.crt").await? == published.ca.der());
    let chain = String::from_utf8(get(&env, "ca/device.pem").await?)?;
    ensure!(chain == format!("{}{}", published.ca.pem(), env.root_pem));
    env.account(&[stolen, good, fresh]).await
}

async fn a_hold_comes_and_goes(counterparties: &Counterparties, pair: Pair) -> anyhow::Result<()> {
    let env = Env::start(counterparties, pair).await?;
    let crl = publisher(&env).await?;
    let device = env.api.enrolled(&env.token).await?;
    let leaf = env.api.released(&device).await?;
    revoke(&env, &device, CertificateHold).await?;
    crl.pass(&Trigger::Time).await?;
    let held = Published::of(&env, "device").await?;
    let expected = (leaf.serial_number.clone(), "CertificateHold".to_owned());
    ensure!(held.revoked() == [expected] && held.denied == [device.device_id.to_string()]);
    let checked = Checked::new(&env.root_pem, held.ca.pem(), &held.pem)?;
    checked.lint().await?;
    checked.agree(&[(&leaf.device_certificate_pem, Some("certificateHold"))]).await?;

    env.store.release_hold(device.device_id).await?;
    crl.pass(&Trigger::Time).await?;
    let released = Published::of(&env, "device").await?;
    ensure!(released.crl.is_empty() && released.denied.is_empty());
    ensure!(released.crl.number() > held.crl.number());
    let checked = Checked::new(&env.root_pem, released.ca.pem(), &released.pem)?;
    checked.lint().await?;
    checked.agree(&[(&leaf.device_certificate_pem, None)]).await
}

/// The publisher, when the clock shows so much more.
async fn later(env: &Env, clock: fn() -> Timestamp) -> anyhow::Result<Crl> {
    Ok(Crl::start(&env.config, World { clock, log: |_| {} }).await?)
}

async fn what_was_superseded_comes_due_and_what_expired_drops_out(
    counterparties: &Counterparties,
    pair: Pair,
) -> anyhow::Result<()> {
    let setup = Setup { policy: Policy::new(10, 24, 10)?, ..Setup::default() };
    let env = Env::with(counterparties, pair, setup).await?;
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
        later(&env, clock).await?.pass(&Trigger::Time).await?;
        anyhow::Ok(Published::of(&env, "device").await?.serials())
    };
    ensure!(at(Timestamp::now).await? == [revoked.clone()], "its grace has just begun");
    ensure!(at(|| Timestamp::now().plus(DAY - 600)).await? == std::slice::from_ref(&revoked));
    let both = sorted(&[&old, &revoked]);
    ensure!(at(|| Timestamp::now().plus(DAY + 60)).await? == both, "its grace is over");
    // Ten days are over, but each was to be in one more list.
    ensure!(at(|| Timestamp::now().plus(10 * DAY + 3600)).await? == both);
    ensure!(at(|| Timestamp::now().plus(11 * DAY + 3600)).await?.is_empty());
    Ok(())
}

async fn the_same_is_not_signed_twice_until_it_is_old(
    counterparties: &Counterparties,
    pair: Pair,
) -> anyhow::Result<()> {
    let env = Env::start(counterparties, pair).await?;
    let crl = publisher(&env).await?;
    let signatures = || env.kms.take().iter().filter(|call| call.signed_digest().is_some()).count();
    crl.pass(&Trigger::Time).await?;
    ensure!(signatures() == 4, "two forms for each of two CAs");
    let number = Published::of(&env, "device").await?.crl.number();
    for _ in 0..3 {
        ensure!(!crl.pass(&Trigger::Time).await?);
    }
    later(&env, || Timestamp::now().plus(11 * 3600)).await?.pass(&Trigger::Time).await?;
    ensure!(signatures() == 0);
    ensure!(Published::of(&env, "device").await?.crl.number() == number);
    later(&env, || Timestamp::now().plus(12 * 3600)).await?.pass(&Trigger::Time).await?;
    ensure!(signatures() == 4);
    let renewed = Published::of(&env, "device").await?;
    ensure!(renewed.crl.number() > number);
    ensure!(renewed.crl.freshness(Timestamp::now().plus(7 * DAY + 3600)) == Freshness::Fresh);

    // A number that somebody took and made nothing of: what they read may still be on its way.
    let taken = env.store.reserve_crl_number("device", 0, Timestamp::now()).await?;
    crl.pass(&Trigger::Time).await?;
    ensure!(Published::of(&env, "device").await?.crl.number() > taken);
    ensure!(signatures() == 2);
    Ok(())
}

/// The index of AWS is behind the table by a moment: what comes between the first look and the second is
/// published by the second.
async fn a_request_is_looked_at_twice(
    counterparties: &Counterparties,
    pair: Pair,
) -> anyhow::Result<()> {
    let env = Env::start(counterparties, pair).await?;
    let crl = publisher(&env).await?;
    crl.pass(&Trigger::Time).await?;
    let device = env.api.enrolled(&env.token).await?;
    let serial = env.api.released(&device).await?.serial_number;
    env.store.request_crl("device", Timestamp::now()).await?;
    let between = async {
        let answered = async || anyhow::Ok(env.store.crl_state("device").await?.answered);
        while answered().await? == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        ensure!(Published::of(&env, "device").await?.crl.is_empty());
        revoke(&env, &device, KeyCompromise).await
    };
    let handled = async { Ok(crl.handle(changes("device")).await?) };
    tokio::try_join!(handled, between)?;
    ensure!(Published::of(&env, "device").await?.serials() == [serial]);
    Ok(())
}

async fn a_second_request_does_not_wait_for_the_first(
    counterparties: &Counterparties,
    pair: Pair,
) -> anyhow::Result<()> {
    let env = Env::start(counterparties, pair).await?;
    let crl = publisher(&env).await?;
    crl.pass(&Trigger::Time).await?;
    let device = env.api.enrolled(&env.token).await?;
    let serial = env.api.released(&device).await?.serial_number;
    env.store.request_crl("device", Timestamp::now()).await?;
    let answered = async |count: u64| {
        while env.store.crl_state("device").await?.answered < count {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        anyhow::Ok(())
    };
    // While the publisher waits for the index.
    let second = async {
        answered(1).await?;
        revoke(&env, &device, KeyCompromise).await?;
        env.store.request_crl("device", Timestamp::now()).await?;
        answered(2).await?;
        anyhow::Ok(Published::of(&env, "device").await?.serials())
    };
    let handled = async {
        crl.handle(changes("device")).await?;
        anyhow::Ok(())
    };
    tokio::select! {
        biased;
        serials = second => ensure!(serials? == [serial]),
        handled = handled => {
            handled?;
            anyhow::bail!("the second request waited until the first was done");
        }
    }
    Ok(())
}

async fn a_fast_clock_hides_no_revocation(
    counterparties: &Counterparties,
    pair: Pair,
) -> anyhow::Result<()> {
    let env = Env::start(counterparties, pair).await?;
    let device = env.api.enrolled(&env.token).await?;
    let serial = env.api.released(&device).await?.serial_number;
    let fast = Timestamp::now().plus(1800);
    env.store.revoke_device(device.device_id, KeyCompromise, fast).await?;
    publisher(&env).await?.pass(&Trigger::Time).await?;
    let published = Published::of(&env, "device").await?;
    ensure!(published.serials() == [serial]);
    let entry = published.crl.revoked().next().context("one")?;
    ensure!(entry.revoked_at <= Timestamp::now(), "not revoked in the future");
    Ok(())
}

/// Eight publishers, four revocations and as many requests at once. The bucket's number only rises, no
/// number has two lists, and the last list has everything.
async fn publishers_at_once_never_go_back(
    counterparties: &Counterparties,
    pair: Pair,
) -> anyhow::Result<()> {
    let env = Env::start(counterparties, pair).await?;
    publisher(&env).await?.pass(&Trigger::Time).await?;
    let devices = try_join_all((0..4).map(|_| env.api.enrolled(&env.token))).await?;
    let leaves = try_join_all(devices.iter().map(|device| env.api.released(device))).await?;
    let publishers = try_join_all((0..8).map(|_| publisher(&env))).await?;

    let ca = Published::of(&env, "device").await?.ca;
    let watch = async {
        let mut last = 0;
        loop {
            let list = VerifiedCrl::from_der(get(&env, "crl/device.crl").await?, &ca)?;
            ensure!(list.number() >= last, "{} came after {last}", list.number());
            last = list.number();
        }
    };
    let publish = async {
        let revoke = async |device: &Enrolled| {
            revoke(&env, device, KeyCompromise).await?;
            env.store.request_crl("device", Timestamp::now()).await?;
            anyhow::Ok(())
        };
        let publish = async |publisher: &Crl| {
            for _ in 0..3 {
                publisher.pass(&changes("device")).await?;
            }
            anyhow::Ok(())
        };
        let revocations = try_join_all(devices.iter().map(revoke));
        let publications = try_join_all(publishers.iter().map(publish));
        tokio::try_join!(revocations, publications)?;
        anyhow::Ok(())
    };
    tokio::select! {
        watched = watch => return watched,
        published = publish => published?,
    }
    // Whoever asked last was answered by somebody.
    publishers[0].pass(&changes("device")).await?;
    let published = Published::of(&env, "device").await?;
    let mut serials: Vec<_> = leaves.iter().map(|leaf| leaf.serial_number.clone()).collect();
    serials.sort();
    ensure!(published.serials() == serials, "{:?}", published.serials());
    ensure!(published.denied.len() == 4);
    let state = env.store.crl_state("device").await?;
    ensure!(state.answered == 4 && state.reserved >= published.crl.number(), "{state:?}");
    let recorded = state.published.context("published")?;
    ensure!(recorded.number == published.crl.number() && recorded.entries == 4, "{recorded:?}");
    Ok(())
}

async fn the_bucket_takes_no_older_number(
    counterparties: &Counterparties,
    pair: Pair,
) -> anyhow::Result<()> {
    let env = Env::start(counterparties, pair).await?;
    let bucket = Bucket::new(env.config.aws.s3()?, env.config.bucket_name()?);
    let object = |number: u64| Object {
        key: "crl/x.crl".into(),
        content_type: "application/pkix-crl",
        cache_control: "public, max-age=5",
        body: format!("list {number}").into(),
    };
    ensure!(bucket.stored("crl/x.crl").await?.is_none());
    let put = async |number| bucket.put_newer(&object(number), number, "digest").await;
    ensure!(put(2).await? == Put::Done);
    ensure!(put(1).await? == Put::Newer(2));
    ensure!(put(2).await? == Put::Done, "it is there");
    ensure!(put(5).await? == Put::Done && put(4).await? == Put::Newer(5));
    let stored = bucket.stored("crl/x.crl").await?.context("it is there")?;
    ensure!((stored.number, stored.content.as_str()) == (5, "digest"));
    ensure!(get(&env, "crl/x.crl").await? == b"list 5");

    // S3 says so where another write is at the same object at that moment.
    env.s3.fail_once("PutObject", Fault::Conflict);
    ensure!(put(6).await? == Put::Done);
    // Where an answer was lost, the SDK asks again, and finds what it put itself.
    env.s3.fail_once("PutObject", Fault::AnswerLost);
    ensure!(put(7).await? == Put::Done);

    // In any order at once: the highest stays.
    let numbers = [13, 10, 20, 11, 9, 17, 8, 19, 16, 12];
    let all = try_join_all(numbers.map(put)).await?;
    ensure!(all[2] == Put::Done);
    ensure!(get(&env, "crl/x.crl").await? == b"list 20");
    Ok(())
}

async fn a_table_from_a_backup_goes_on_above_the_bucket(
    counterparties: &Counterparties,
    pair: Pair,
) -> anyhow::Result<()> {
    let env = Env::start(counterparties, pair).await?;
    for _ in 0..3 {
        env.store.request_crl("device", Timestamp::now()).await?;
        publisher(&env).await?.pass(&changes("device")).await?;
    }
    let before = Published::of(&env, "device").await?.crl.number();
    let key = |text: &str| aws_sdk_dynamodb::types::AttributeValue::S(text.into());
    let client = env.config.aws.dynamodb()?;
    let delete = client.delete_item().table_name(&env.config.table_name);
    delete.key("PK", key("CRL#device")).key("SK", key("META")).send().await?;
    publisher(&env).await?.pass(&Trigger::Time).await?;
    let after = Published::of(&env, "device").await?.crl.number();
    ensure!(after > before, "{before}, {after}");

    let forget = async || {
        for name in ["CRL#device", "CRL#denied"] {
            let delete = client.delete_item().table_name(&env.config.table_name);
            delete.key("PK", key(name)).key("SK", key("META")).send().await?;
        }
        anyhow::Ok(())
    };
    // The denied devices by their plain name, too.
    forget().await?;
    let device = env.api.enrolled(&env.token).await?;
    revoke(&env, &device, KeyCompromise).await?;
    publisher(&env).await?.pass(&Trigger::Time).await?;
    let denied = String::from_utf8(get(&env, "denied/devices.txt").await?)?;
    ensure!(denied == format!("{}\n", device.device_id), "{denied}");

    // And where the bucket is lost as well: verifiers have seen what was in it.
    let before = Published::of(&env, "device").await?.crl.number();
    forget().await?;
    let other = counterparties.bucket(pair, &env.scratch.path().join("other")).await?;
    let mut config = env.config.clone();
    config.aws.endpoint_s3 = Some(other.endpoint.clone());
    config.bucket_name = Some(other.name.clone());
    // Several lists within a second are ahead of the time.
    while Timestamp::now().unix() <= before {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Crl::start(&config, QUIET).await?.pass(&Trigger::Time).await?;
    let other = Bucket::new(config.aws.s3()?, config.bucket_name()?);
    let stored = other.stored("crl/device.crl").await?.context("published")?;
    ensure!(stored.number > before, "{before}, {}", stored.number);
    Ok(())
}

/// As Lambda starts it and hands it its events.
async fn the_program_answers_events(
    counterparties: &Counterparties,
    pair: Pair,
) -> anyhow::Result<()> {
    let env = Env::start(counterparties, pair).await?;
    let api = RuntimeApi::bind().await?;
    let command = tokio::process::Command::new(binary("crl")?);
    let _program = function::start_by(command, &env, api.address()?)?;
    let mut runtime = api.accept().await?;
    ensure!(runtime.invoke("{}").await? == "null");
    ensure!(Published::of(&env, "device").await?.crl.is_empty());

    let device = env.api.enrolled(&env.token).await?;
    let serial = env.api.released(&device).await?.serial_number;
    revoke(&env, &device, KeyCompromise).await?;
    env.store.request_crl("device", Timestamp::now()).await?;
    let keys = json!({ "PK": { "S": "CRL#REQUEST" }, "SK": { "S": "device" } });
    let record = json!({
        "eventID": "1", "eventName": "MODIFY", "eventSource": "aws:dynamodb",
        "dynamodb": { "Keys": keys, "StreamViewType": "KEYS_ONLY", "SequenceNumber": "1" },
    });
    ensure!(runtime.invoke(&json!({ "Records": [record] }).to_string()).await? == "null");
    ensure!(Published::of(&env, "device").await?.serials() == [serial]);
    Ok(())
}

/// On the local stack, with the commands that operators type: seconds from the revocation to the list.
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
    ensure!(text.contains("GOOD UNTIL") && text.lines().count() == 3, "{text}");
    operator.refused("crl status --ca nobody", 3, &["there is no CA named nobody"]).await?;

    // As a cache asks again.
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

    // What was asked for while the stack was down is there when it is up.
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
