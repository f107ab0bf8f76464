//! How long the functions take from `exec` to their first request for work, beside a hello-world of
//! `lambda_runtime`, in one run. `make bench` builds what it measures and runs it.
#![allow(clippy::print_stdout, reason = "a benchmark prints")]

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use birthcert_local::state::{CREDENTIAL, REGION};
use birthcert_tests::counterparties::{Counterparties, Pair};
use birthcert_tests::env::Env;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::time::timeout;

const ROUNDS: usize = 40;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let release = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/release"));
    let target = std::env::var_os("CARGO_TARGET_DIR").map(|dir| Path::new(&dir).join("release"));
    let release = target.as_deref().unwrap_or(release);
    let programs = ["examples/hello_world", "enroll", "identity"].map(|name| release.join(name));

    let counterparties = Counterparties::default();
    let env = Env::start(&counterparties, Pair::Local).await?;
    let mut times: [Vec<Duration>; 3] = Default::default();
    // In turns, so that whatever else the machine does falls on all of them.
    for _ in 0..ROUNDS {
        for (program, times) in programs.iter().zip(&mut times) {
            times.push(until_next(program, &env).await?);
        }
    }

    println!("exec to first /next, {ROUNDS} rounds in turns, DynamoDB and KMS on loopback");
    println!("{:<14} {:>10} {:>10} {:>10} {:>8}", "", "size", "median", "p90", "ratio");
    let mut hello_world = None;
    for (program, times) in programs.iter().zip(&mut times) {
        times.sort();
        let (median, p90) = (times[ROUNDS / 2], times[ROUNDS * 9 / 10]);
        let base = *hello_world.get_or_insert(median);
        println!(
            "{:<14} {:>7.1} MB {:>7.1} ms {:>7.1} ms {:>8.1}",
            program.file_name().unwrap_or_default().display(),
            program.metadata()?.len() as f64 / 1e6,
            median.as_secs_f64() * 1e3,
            p90.as_secs_f64() * 1e3,
            median.as_secs_f64() / base.as_secs_f64(),
        );
    }
    Ok(())
}

/// Starts `program` as Lambda does, and waits until it asks the runtime API for work.
async fn until_next(program: &Path, env: &Env) -> anyhow::Result<Duration> {
    let runtime_api = TcpListener::bind("127.0.0.1:0").await?;
    let aws = &env.config.aws;
    let began = Instant::now();
    let _child = Command::new(program)
        .env_clear()
        .env("AWS_LAMBDA_RUNTIME_API", runtime_api.local_addr()?.to_string())
        .env("AWS_LAMBDA_FUNCTION_NAME", "bench")
        .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
        .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
        .env("AWS_REGION", REGION)
        .env("AWS_ACCESS_KEY_ID", CREDENTIAL)
        .env("AWS_SECRET_ACCESS_KEY", CREDENTIAL)
        .env("AWS_ENDPOINT_URL_DYNAMODB", aws.endpoint_dynamodb.as_deref().context("set")?)
        .env("AWS_ENDPOINT_URL_KMS", aws.endpoint_kms.as_deref().context("set")?)
        .env("TABLE_NAME", &env.config.table_name)
        // What a function says when it is killed at work is no news.
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("{}: build it with make functions", program.display()))?;
    let asked = async {
        let (mut connection, _) = runtime_api.accept().await?;
        let mut first = [0; 8];
        connection.read_exact(&mut first).await?;
        anyhow::Ok(began.elapsed())
    };
    timeout(Duration::from_secs(10), asked).await.context("it never asked for work")?
}
