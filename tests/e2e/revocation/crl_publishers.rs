//! Publishers of CRLs: with many requests, many publishers or a restored backup, no number goes
//! back and no request is lost.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use birthcert_tests::api::Enrolled;
use birthcert_tests::aws::emulators::{Backend, Emulators};
use birthcert_tests::aws::proxy::Fault;
use birthcert_tests::env::Env;
use birthcert_tests::lambda::function;
use birthcert_tests::lambda::runtime_api::RuntimeApi;
use birthcert_tests::process::binary;
use birthcert_tests::published_crl::{PublishedCrl, get};
use crl::Publisher;
use futures_util::future::try_join_all;
use lambda::stream::Trigger;
use ledger::bucket::{Bucket, Object, PutOutcome};
use pki::clock::Timestamp;
use pki::crl::RevocationReason::KeyCompromise;
use pki::crl::VerifiedCrl;
use serde_json::json;

use super::crl::{QUIET, changes, publisher, revoke};

pub(crate) fn tests() -> Vec<crate::suite::BackendTest> {
    crate::suite::per_backend![
        the_index_is_read_twice,
        a_second_request_does_not_wait_for_the_first,
        publishers_at_once_never_go_back,
        the_bucket_takes_no_older_number,
        a_table_from_a_backup_goes_on_above_the_bucket,
        the_program_answers_events,
    ]
}

/// Generous, for machines that compile at the same time.
const LIMIT: Duration = Duration::from_secs(60);

/// Returns a publisher with a pending request, and a device with a good certificate.
async fn asked(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<(Env, Publisher, Enrolled, String)> {
    let env = Env::start(emulators, backend).await?;
    let crl = publisher(&env).await?;
    crl.publish_due(&Trigger::Schedule).await?;
    let device = env.api.enrolled(&env.token).await?;
    let serial = env.api.released(&device).await?.serial_number;
    env.store.request_crl("device", Timestamp::now()).await?;
    Ok((env, crl, device, serial))
}

/// Waits until this many requests are answered.
async fn answered(env: &Env, count: u64) -> anyhow::Result<()> {
    let deadline = Instant::now() + LIMIT;
    loop {
        let state = env.store.crl_state("device").await?;
        if state.answered >= count {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "not {count} after {LIMIT:?}: {state:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// DynamoDB's index lags behind the table: the publisher's second read finds what arrived after the
/// first.
async fn the_index_is_read_twice(emulators: &Emulators, backend: Backend) -> anyhow::Result<()> {
    let (env, crl, device, serial) = asked(emulators, backend).await?;
    let between = async {
        answered(&env, 1).await?;
        ensure!(PublishedCrl::of(&env, "device").await?.crl.is_empty());
        revoke(&env, &device, KeyCompromise).await
    };
    let handled = async { Ok(crl.handle(changes("device")).await?) };
    tokio::try_join!(handled, between)?;
    ensure!(PublishedCrl::of(&env, "device").await?.serials() == [serial]);
    Ok(())
}

async fn a_second_request_does_not_wait_for_the_first(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let (env, crl, device, serial) = asked(emulators, backend).await?;
    // While the publisher waits for the index.
    let second = async {
        answered(&env, 1).await?;
        revoke(&env, &device, KeyCompromise).await?;
        env.store.request_crl("device", Timestamp::now()).await?;
        answered(&env, 2).await?;
        anyhow::Ok(Instant::now())
    };
    let handled = async {
        crl.handle(changes("device")).await?;
        anyhow::Ok(Instant::now())
    };
    let (at, end) = tokio::try_join!(second, handled)?;
    // The publisher continued for some seconds, because of the index.
    ensure!(end - at > Duration::from_secs(2), "the second request waited for the first");
    ensure!(PublishedCrl::of(&env, "device").await?.serials() == [serial]);
    Ok(())
}

/// Eight publishers, four revocations and as many requests at once. The number in the bucket only
/// rises, no number is used for two CRLs, and the last CRL has every entry.
async fn publishers_at_once_never_go_back(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    publisher(&env).await?.publish_due(&Trigger::Schedule).await?;
    let devices = try_join_all((0..4).map(|_| env.api.enrolled(&env.token))).await?;
    let leaves = try_join_all(devices.iter().map(|device| env.api.released(device))).await?;
    let publishers = try_join_all((0..8).map(|_| publisher(&env))).await?;

    let ca = PublishedCrl::of(&env, "device").await?.ca;
    let seen = RefCell::new(BTreeSet::new());
    let watch = async {
        let mut last = 0;
        loop {
            let list = VerifiedCrl::from_der(get(&env, "crl/device.crl").await?, &ca)?;
            ensure!(list.number() >= last, "{} came after {last}", list.number());
            last = list.number();
            seen.borrow_mut().insert(last);
        }
    };
    let publish = async {
        let revoke = async |device: &Enrolled| {
            revoke(&env, device, KeyCompromise).await?;
            env.store.request_crl("device", Timestamp::now()).await?;
            anyhow::Ok(())
        };
        let publish = async |publisher: &Publisher| {
            for _ in 0..3 {
                publisher.publish_due(&changes("device")).await?;
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
    let seen = seen.take();
    ensure!(seen.len() > 1, "only the numbers {seen:?} were seen");
    // The last request was answered, by whichever publisher.
    publishers[0].publish_due(&changes("device")).await?;
    let published = PublishedCrl::of(&env, "device").await?;
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
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    let bucket = Bucket::new(env.config.aws.s3()?, env.config.bucket_name()?);
    let object = |number: u64| Object {
        key: "crl/x.crl".into(),
        content_type: "application/pkix-crl",
        cache_control: "public, max-age=5",
        body: format!("list {number}").into(),
    };
    ensure!(bucket.head("crl/x.crl").await?.is_none());
    let put = async |number| bucket.put_newer(&object(number), number, "digest").await;
    ensure!(put(2).await? == PutOutcome::Stored);
    ensure!(put(1).await? == PutOutcome::Newer(2));
    ensure!(put(2).await? == PutOutcome::Stored, "it is there");
    ensure!(put(5).await? == PutOutcome::Stored && put(4).await? == PutOutcome::Newer(5));
    let stored = bucket.head("crl/x.crl").await?.context("it is there")?;
    ensure!((stored.number, stored.content.as_str()) == (5, "digest"));
    ensure!(get(&env, "crl/x.crl").await? == b"list 5");

    // S3 reports a conflict while another write to the object is in progress.
    env.s3.fail_once("PutObject", Fault::Conflict);
    ensure!(put(6).await? == PutOutcome::Stored);
    // After a lost response the SDK retries, and recognizes its own write.
    env.s3.fail_once("PutObject", Fault::AnswerLost);
    ensure!(put(7).await? == PutOutcome::Stored);

    // Concurrently and in any order: the highest number stays.
    let numbers = [13, 10, 20, 11, 9, 17, 8, 19, 16, 12];
    let all = try_join_all(numbers.map(put)).await?;
    ensure!(all[2] == PutOutcome::Stored);
    ensure!(get(&env, "crl/x.crl").await? == b"list 20");
    Ok(())
}

async fn a_table_from_a_backup_goes_on_above_the_bucket(
    emulators: &Emulators,
    backend: Backend,
) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    for _ in 0..3 {
        env.store.request_crl("device", Timestamp::now()).await?;
        publisher(&env).await?.publish_due(&changes("device")).await?;
    }
    let before = PublishedCrl::of(&env, "device").await?.crl.number();
    let key = |text: &str| aws_sdk_dynamodb::types::AttributeValue::S(text.into());
    let client = env.config.aws.dynamodb()?;
    let delete = client.delete_item().table_name(&env.config.table_name);
    delete.key("PK", key("CRL#device")).key("SK", key("META")).send().await?;
    publisher(&env).await?.publish_due(&Trigger::Schedule).await?;
    let after = PublishedCrl::of(&env, "device").await?.crl.number();
    ensure!(after > before, "{before}, {after}");

    let forget = async || {
        let delete = client.delete_item().table_name(&env.config.table_name);
        delete.key("PK", key("CRL#device")).key("SK", key("META")).send().await?;
        anyhow::Ok(())
    };
    // The deny list under its plain name, too.
    forget().await?;
    let device = env.api.enrolled(&env.token).await?;
    revoke(&env, &device, KeyCompromise).await?;
    publisher(&env).await?.publish_due(&Trigger::Schedule).await?;
    let denied = String::from_utf8(get(&env, "denied/devices.txt").await?)?;
    ensure!(denied == format!("{}\n", device.device_id), "{denied}");

    // Also if the bucket is lost: verifiers have seen its CRLs.
    let before = PublishedCrl::of(&env, "device").await?.crl.number();
    forget().await?;
    let other = emulators.bucket(backend, &env.scratch.path().join("other")).await?;
    let mut config = env.config.clone();
    config.aws.endpoint_s3 = Some(other.endpoint.clone());
    config.bucket_name = Some(other.name.clone());
    // With several CRLs in a second, their dates are ahead of the clock.
    let deadline = Instant::now() + LIMIT;
    while Timestamp::now().unix() <= before {
        ensure!(Instant::now() < deadline, "{before} is far ahead of the clock");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Publisher::start(&config, QUIET).await?.publish_due(&Trigger::Schedule).await?;
    let other = Bucket::new(config.aws.s3()?, config.bucket_name()?);
    let stored = other.head("crl/device.crl").await?.context("published")?;
    ensure!(stored.number > before, "{before}, {}", stored.number);
    Ok(())
}

/// Starts the program and passes it events as Lambda does.
async fn the_program_answers_events(emulators: &Emulators, backend: Backend) -> anyhow::Result<()> {
    let env = Env::start(emulators, backend).await?;
    let api = RuntimeApi::bind().await?;
    let command = tokio::process::Command::new(binary("crl")?);
    let _program = function::start_by(command, &env, api.address()?)?;
    let mut runtime = api.accept().await?;
    ensure!(runtime.invoke("{}").await? == "null");
    ensure!(PublishedCrl::of(&env, "device").await?.crl.is_empty());

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
    ensure!(PublishedCrl::of(&env, "device").await?.serials() == [serial]);
    Ok(())
}
