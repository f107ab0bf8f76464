//! Cost of a CRL by its length: time and memory to build one; and for the function `crl` as it
//! ships, the time from a revocation to the bucket, and its memory. `make functions` and `cargo
//! build --profile emulator -p birthcert-local`, then
//! `cargo run --profile emulator -p birthcert-tests --bin crl_length`
#![allow(clippy::print_stdout, reason = "a benchmark prints")]

use std::collections::HashMap;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
use birthcert_tests::aws::emulators::{Backend, Emulators};
use birthcert_tests::env::Env;
use birthcert_tests::lambda::function;
use birthcert_tests::lambda::runtime_api::RuntimeApi;
use birthcert_tests::published_crl::PublishedCrl;
use der::referenced::OwnedToRef as _;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;
use p256::ecdsa::signature::hazmat::PrehashSigner as _;
use p256::ecdsa::{Signature, SigningKey};
use p256::elliptic_curve::Generate as _;
use pki::authority::CaCertificate;
use pki::clock::Timestamp;
use pki::crl::RevocationReason::KeyCompromise;
use pki::crl::{self, Contents, CrlReason, Entry};
use pki::lint::lint;
use pki::names::distinguished;
use pki::profile::{self, IssuedBy, Profile};
use serde_json::json;

const LENGTHS: [u32; 3] = [10_000, 100_000, 1_000_000];
/// Numbers of revoked certificates in a table of a DynamoDB emulator.
const IN_A_TABLE: [u32; 4] = [1, 10_000, 100_000, 1_000_000];

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let emulators = Emulators::default();
    match std::env::args().skip(1).collect::<Vec<_>>().as_slice() {
        [] => {}
        [length] => return make(length.parse()?),
        [what, length] if what == "publish" => {
            return publish(&emulators, length.parse()?).await;
        }
        _ => anyhow::bail!("usage: crl_length [LENGTH | publish LENGTH]"),
    }
    println!("To make a list: one in two has a reason. Each in a process of its own.");
    for length in LENGTHS {
        // A process of its own, so that its peak memory is the CRL's.
        let made = Command::new(std::env::current_exe()?).arg(length.to_string()).status()?;
        ensure!(made.success());
    }
    println!("From a revocation to the bucket, by crl as it ships, on the local stand-ins:");
    for length in IN_A_TABLE {
        publish(&emulators, length).await?;
    }
    Ok(())
}

fn entry(number: u32) -> anyhow::Result<Entry> {
    Ok(Entry {
        serial: format!("40{number:030x}").parse()?,
        revoked_at: Timestamp::from_unix(1_800_000_000 + u64::from(number)),
        reason: if number.is_multiple_of(2) {
            CrlReason::Unspecified
        } else {
            CrlReason::Superseded
        },
    })
}

/// A CA with its key in memory: the CRL is measured, not KMS.
fn ca() -> anyhow::Result<(CaCertificate, SigningKey)> {
    let rng = &mut UnwrapErr(SysRng);
    let key = SigningKey::generate_from_rng(rng);
    let subject = distinguished("Benchmark", None)?;
    let spki = spki::SubjectPublicKeyInfoOwned::from_key(key.verifying_key())?;
    let identifier = profile::key_identifier(spki.owned_to_ref())?;
    let public = (*key.verifying_key()).into();
    let itself = IssuedBy::self_signed(&subject, &public, &identifier);
    let kind = Profile::Root { subject: subject.clone() };
    let now = Timestamp::now();
    let tbs = lint(profile::build(&kind, itself, spki, now, Timestamp::NEVER, rng)?)?;
    let signature: Signature = key.sign_prehash(tbs.digest())?;
    let signed =
        tbs.with_signature(&signature.to_der().into())?.verify(&(*key.verifying_key()).into())?;
    Ok((CaCertificate::from_pem(&signed.pem()?).map_err(anyhow::Error::msg)?, key))
}

fn make(length: u32) -> anyhow::Result<()> {
    let (ca, key) = ca()?;
    let revoked = (0..length).map(entry).collect::<anyhow::Result<Vec<_>>>()?;
    let now = Timestamp::now();
    let contents = Contents {
        number: 1,
        this_update: now,
        next_update: now.plus(crl::VALIDITY_SECONDS),
        revoked: &revoked,
        denied_devices: Some([7; 32]),
        distribution_point: None,
    };
    let begin = Instant::now();
    let built = crl::build(&ca, contents)?;
    let built_at = Instant::now();
    let linted = crl::lint(built)?;
    let linted_at = Instant::now();
    let signature: Signature = key.sign_prehash(linted.digest())?;
    let crl = linted.with_signature(&signature.to_der().into())?.verify(&ca)?;
    let verified_at = Instant::now();
    let pem = crl.pem()?;
    let end = Instant::now();
    let ms = |from: Instant, to: Instant| (to - from).as_secs_f64() * 1e3;
    println!(
        "  {length:>9} certificates: build {:>5.0} ms, lint {:>5.0}, sign and verify {:>5.0}, PEM {:>5.0}; \
         DER {:>6.2} MB, PEM {:>6.2} MB; memory {:>4} MB at most",
        ms(begin, built_at),
        ms(built_at, linted_at),
        ms(linted_at, verified_at),
        ms(verified_at, end),
        crl.der().len() as f64 / 1e6,
        pem.len() as f64 / 1e6,
        peak("self")? / 1024,
    );
    Ok(())
}

/// Peak memory of a process, in KiB.
/// Far more than the longest CRL takes.
const LIMIT: Duration = Duration::from_secs(300);

fn peak(process: &str) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

async fn publish(emulators: &Emulators, length: u32) -> anyhow::Result<()> {
    let env = Env::start(emulators, Backend::Local).await?;
    fill(&env, length).await?;
    let api = RuntimeApi::bind().await?;
    let program = function::start(&function::release("crl"), &env, api.address()?)?;
    let mut runtime = api.accept().await?;
    ensure!(runtime.invoke("{}").await? == "null", "the first CRL");
    let device = env.api.enrolled(&env.token).await?;
    env.api.released(&device).await?;
    env.dynamodb.take();
    env.s3.take();

    let began = Instant::now();
    env.store.revoke_device(device.device_id, KeyCompromise, Timestamp::now()).await?;
    let revoked = began.elapsed();
    let asked = env.store.request_crl("device", Timestamp::now()).await?;
    let published = async {
        while env.store.crl_state("device").await?.answered < asked {
            ensure!(began.elapsed() < LIMIT, "nothing was published after {LIMIT:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let took = began.elapsed();
        let queries = env.dynamodb.take();
        let pages = queries.iter().filter(|call| call.operation == "Query").count();
        anyhow::Ok((took, pages))
    };
    let keys = json!({ "PK": { "S": "CRL#REQUEST" }, "SK": { "S": "device" } });
    let event = json!({ "Records": [{ "dynamodb": { "Keys": keys } }] }).to_string();
    let (answer, measured) = tokio::join!(runtime.invoke(&event), published);
    let (took, pages) = measured?;
    ensure!(answer? == "null");
    let published = PublishedCrl::of(&env, "device").await?.crl;
    ensure!(published.len() == length as usize + 1);
    println!(
        "  {:>9} certificates: revoked after {:>5.0} ms, published after {:>6.2} s; {pages:>4} pages of the index; \
         the CRL has {:>5.2} MB, crl had {:>4} MB at most",
        published.len(),
        revoked.as_secs_f64() * 1e3,
        took.as_secs_f64(),
        published.der().len() as f64 / 1e6,
        peak(&program.id().context("it runs")?.to_string())? / 1024,
    );
    Ok(())
}

/// Writes `length` revoked certificates, in the form that the index has.
async fn fill(env: &Env, length: u32) -> anyhow::Result<()> {
    let client = env.direct.aws.dynamodb()?;
    let text = |text: String| AttributeValue::S(text);
    let number = |number: u64| AttributeValue::N(number.to_string());
    let now = Timestamp::now();
    let items = (0..length).map(|place| {
        let serial = format!("40{place:030x}");
        let item = HashMap::from([
            ("PK".to_owned(), text(format!("LEDGER#{place}"))),
            ("SK".to_owned(), text(format!("CERT#{serial}"))),
            ("serial_number".to_owned(), text(serial)),
            ("ca".to_owned(), text("device".into())),
            ("revoked_at".to_owned(), number(now.minus(u64::from(length - place)).unix())),
            ("revocation_reason".to_owned(), text("keyCompromise".into())),
            ("not_after".to_owned(), number(now.plus(1_000_000).unix())),
        ]);
        anyhow::Ok(
            WriteRequest::builder()
                .put_request(PutRequest::builder().set_item(Some(item)).build()?)
                .build(),
        )
    });
    let items = items.collect::<anyhow::Result<Vec<_>>>()?;
    stream::iter(items.chunks(25))
        .map(|batch| {
            let write = client.batch_write_item();
            let write = write.request_items(&env.config.table_name, batch.to_vec());
            async move { anyhow::Ok(write.send().await?) }
        })
        .buffer_unordered(4)
        .try_for_each(|_| async { Ok(()) })
        .await
}
