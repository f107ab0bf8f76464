//! CPU time of a warm function per request: user and system time of its process, divided by the
//! number of requests. `make bench` builds what it measures and runs it.
#![allow(clippy::print_stdout, reason = "a benchmark prints")]

use std::path::Path;

use anyhow::{Context as _, ensure};
use birthcert_tests::aws::emulators::{Backend, Emulators};
use birthcert_tests::env::Env;
use birthcert_tests::lambda::function;
use birthcert_tests::lambda::runtime_api::{Runtime, RuntimeApi};
use tokio::process::Child;

const WARM_UP: usize = 50;
const REQUESTS: usize = 1000;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let emulators = Emulators::default();
    let env = Env::start(&emulators, Backend::Local).await?;
    let event = |name: &str| {
        let path = format!(concat!(env!("CARGO_MANIFEST_DIR"), "/../events/{}.json"), name);
        std::fs::read_to_string(path)
    };
    let enroll = event("enroll")?.replace("ENROLLMENT_TOKEN", &env.token.expose());
    let identity = event("identity")?;
    let mut enrollments = Vec::new();
    let mut identities = Vec::new();
    for _ in 0..WARM_UP + REQUESTS {
        let device = env.api.enrolled(&env.token).await?;
        identities.push(identity.replace("DEVICE_TOKEN", &device.device_token));
        enrollments.push(enroll.clone());
    }

    println!(
        "CPU of a warm function, {REQUESTS} requests one after another, plain HTTP to loopback"
    );
    for (name, events) in [("enroll", enrollments), ("identity", identities)] {
        let milliseconds = cpu_per_request(&function::release(name), &env, &events).await?;
        println!("{name:<10} {milliseconds:.2} ms a request");
    }
    Ok(())
}

async fn cpu_per_request(program: &Path, env: &Env, events: &[String]) -> anyhow::Result<f64> {
    let api = RuntimeApi::bind().await?;
    let child = function::start(program, env, api.address()?)?;
    let mut runtime = api.accept().await?;
    let (warm_up, measured) = events.split_at(WARM_UP);
    for event in warm_up {
        invoke(&mut runtime, event).await?;
    }
    let before = cpu_milliseconds(&child)?;
    for event in measured {
        invoke(&mut runtime, event).await?;
    }
    Ok((cpu_milliseconds(&child)? - before) / REQUESTS as f64)
}

async fn invoke(runtime: &mut Runtime, event: &str) -> anyhow::Result<()> {
    let answer = runtime.invoke(event).await?;
    ensure!(answer.contains("\"statusCode\":200"), "{answer}");
    Ok(())
}

/// User and system time so far: fields 14 and 15 of proc(5)'s stat, in ticks of 10 ms.
fn cpu_milliseconds(child: &Child) -> anyhow::Result<f64> {
    let id = child.id().context("it ended")?;
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat"))?;
    let fields = stat.rsplit_once(')').context("stat")?.1;
    let fields = fields.split_whitespace().skip(11).take(2);
    Ok(fields.map(|field| field.parse::<f64>()).sum::<Result<f64, _>>()? * 10.0)
}
