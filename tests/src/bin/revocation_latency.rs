//! How long a revoked device still gets into mosquitto, and how long its open session still works, from
//! the moment in which its CRL is published: `cargo run -p birthcert-tests --bin revocation_latency`.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a measurement that cannot go on says where"
)]

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use birthcert_tests::guarded::Guarded;
use birthcert_tests::mqtt_raw::{Identity, Raw};
use birthcert_tests::site::Device;
use tokio::time::sleep;

const ROUNDS: usize = 50;
/// Between two tries to get in, and between two messages.
const STEP: Duration = Duration::from_millis(2);
/// A message that is not back by then is lost.
const LOST: Duration = Duration::from_millis(200);
/// So long nothing should take.
const LIMIT: Duration = Duration::from_secs(60);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options: Vec<String> = std::env::args().skip(1).collect();
    let (interval, already) = match options.as_slice() {
        [] => ("2s", 0),
        [interval] => (interval.as_str(), 0),
        [interval, already] => (interval.as_str(), already.parse()?),
        _ => anyhow::bail!("usage: revocation_latency [INTERVAL [DENIED]]"),
    };
    let (mut guarded, mut agent) =
        Guarded::start(&[["--interval".into(), interval.to_owned()]]).await?;
    for _ in 0..already {
        let device = guarded.site.device()?;
        guarded.site.revoke_certificate(&device);
        guarded.site.publisher.denied.push(device.id);
    }
    guarded.site.publisher.publish();
    agent.has(2).await?;

    let (mut refused, mut cut) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        // Two, because a broker that binds client ids to certificates allows each one session.
        let (newcomer, insider) = (guarded.site.device()?, guarded.site.device()?);
        let session = open(&insider, guarded.site.port).await?;
        let identity = Identity::of(&newcomer.client)?;
        ensure!(identity.connect(guarded.site.port).await?.is_some(), "not let in at first");
        // At any moment of the agent's pause.
        sleep(Duration::from_millis((round as u64 * 137) % 2000)).await;

        guarded.site.revoke_certificate(&newcomer);
        guarded.site.publisher.denied.push(newcomer.id);
        guarded.site.revoke(&insider);
        let published = Instant::now();
        let port = guarded.site.port;
        let (first, last) =
            tokio::join!(until_refused(&identity, port), until_lost(session, insider.topic("up")),);
        refused.push(first? - published);
        cut.push(last? - published);
    }
    println!("{ROUNDS} revocations, interval {interval}, {already} devices denied before");
    for (what, mut times) in [("new connection refused", refused), ("open session cut", cut)] {
        times.sort();
        let at =
            |share: f64| times[((times.len() - 1) as f64 * share).round() as usize].as_millis();
        println!("{what:24} p50 {:5} ms  p99 {:5} ms  most {:5} ms", at(0.5), at(0.99), at(1.0));
    }
    agent.kill().await
}

async fn open(device: &Device, port: u16) -> anyhow::Result<Raw> {
    let session = Identity::of(&device.client)?.connect(port).await?;
    let mut session = session.context("not let in at first")?;
    session.subscribe(&device.topic("up")).await?;
    Ok(session)
}

/// When the first connection was begun that is refused.
async fn until_refused(identity: &Identity, port: u16) -> anyhow::Result<Instant> {
    let end = Instant::now() + LIMIT;
    loop {
        let begun = Instant::now();
        if identity.connect(port).await?.is_none() {
            return Ok(begun);
        }
        ensure!(begun < end, "still let in after {LIMIT:?}");
        sleep(STEP).await;
    }
}

/// When the first message was sent that does not come back.
async fn until_lost(mut session: Raw, topic: String) -> anyhow::Result<Instant> {
    let end = Instant::now() + LIMIT;
    loop {
        let sent = Instant::now();
        if !session.comes_back(&topic, "tick", LOST).await? {
            return Ok(sent);
        }
        ensure!(sent < end, "still heard after {LIMIT:?}");
        sleep(STEP).await;
    }
}
