//! Time from `exec` to the functions' first request for work, compared with a hello-world of
//! `lambda_runtime` in the same run. `make bench` builds what it measures and runs it.
#![allow(clippy::print_stdout, reason = "a benchmark prints")]

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use birthcert_tests::aws::emulators::{Backend, Emulators};
use birthcert_tests::env::Env;
use birthcert_tests::lambda::function;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio::time::timeout;

const ROUNDS: usize = 40;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let programs = ["examples/hello_world", "enroll", "identity"].map(function::release);

    let emulators = Emulators::default();
    let env = Env::start(&emulators, Backend::Local).await?;
    let mut times: [Vec<Duration>; 3] = Default::default();
    // Interleaved, so that other load on the machine affects all of them alike.
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
    let began = Instant::now();
    let _child = function::start(program, env, runtime_api.local_addr()?)?;
    let asked = async {
        let (mut connection, _) = runtime_api.accept().await?;
        let mut first = [0; 8];
        connection.read_exact(&mut first).await?;
        anyhow::Ok(began.elapsed())
    };
    timeout(Duration::from_secs(10), asked).await.context("it never asked for work")?
}
