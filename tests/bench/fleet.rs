//! Time an operator waits with ten thousand devices: to list and export them, find one, and revoke
//! a tenth of them. `cargo build --workspace && cargo run -p birthcert-tests --bin fleet`
#![allow(clippy::print_stdout, reason = "a benchmark prints")]

use std::time::Instant;

use anyhow::ensure;
use birthcert_tests::aws::emulators::{Backend, Emulators};
use birthcert_tests::env::Env;
use birthcert_tests::operator::Operator;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;
use ledger::store::{DeviceRecord, DeviceStatus};
use pki::clock::Timestamp;
use pki::names::DeviceId;
use pki::token::DeviceToken;

const DEVICES: usize = 10_000;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let emulators = Emulators::default();
    for backend in [Backend::Local, Backend::DynamoDbLocal] {
        let env = Env::start(&emulators, backend).await?;
        println!("{DEVICES} devices on {}", backend.name());
        let began = Instant::now();
        fill(&env).await?;
        println!("  {:<52} {:>7.2} s", "(to make them)", began.elapsed().as_secs_f64());

        let operator = Operator::of_env(&env)?;
        let token = env.token.subject();
        for (line, lines) in [
            ("device list --limit 100".to_owned(), 101),
            ("device list".to_owned(), DEVICES + 1),
            ("device list --output csv".to_owned(), DEVICES + 1),
            ("device list --output jsonl".to_owned(), DEVICES),
            ("device list --label-prefix pump-9 --output jsonl".to_owned(), DEVICES / 10),
            (format!("token devices {token} --output jsonl"), DEVICES),
            ("device find pump-4321".to_owned(), 2),
            ("device revoke --label-prefix pump-9 --yes".to_owned(), 3),
        ] {
            let began = Instant::now();
            let printed = operator.done(&line).await?.lines().count();
            println!("  birthcert {line:<42.42} {:>7.2} s", began.elapsed().as_secs_f64());
            ensure!(printed == lines, "{line}: {printed} lines instead of {lines}");
        }
    }
    Ok(())
}

async fn fill(env: &Env) -> anyhow::Result<()> {
    let now = Timestamp::now();
    stream::iter(0..DEVICES)
        .map(|place| async move {
            let rng = &mut UnwrapErr(SysRng);
            let token = DeviceToken::generate(env.project, DeviceId::generate(rng), rng);
            let record = DeviceRecord {
                device_id: token.subject(),
                project_id: env.project,
                label: Some(format!("pump-{place:04}").parse()?),
                status: DeviceStatus::Active,
                token_id: env.token.subject(),
                created_at: now.plus(place as u64 / 100),
            };
            anyhow::Ok(env.store.create_device(&record, &token).await?)
        })
        .buffer_unordered(16)
        .try_collect::<Vec<()>>()
        .await
        .map(drop)
}
