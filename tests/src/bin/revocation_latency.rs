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
use birthcert_tests::guarded_stack::GuardedStack;
use birthcert_tests::mqtt_raw::{Identity, Raw};
use birthcert_tests::mqtt_session::Client;
use futures_util::future::try_join_all;
use tokio::time::sleep;

const ROUNDS: usize = 50;
/// Between two tries to get in, and between two messages.
const STEP: Duration = Duration::from_millis(2);
/// A message that is not back by then is lost.
const LOST: Duration = Duration::from_secs(2);
/// So long nothing should take.
const LIMIT: Duration = Duration::from_secs(60);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options: Vec<String> = std::env::args().skip(1).collect();
    match options.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => by_publication("2s", 0).await,
        ["stack"] => by_command("2s").await,
        ["stack", interval] => by_command(interval).await,
        [interval] => by_publication(interval, 0).await,
        [interval, already] => by_publication(interval, already.parse()?).await,
        _ => anyhow::bail!("usage: revocation_latency [INTERVAL [DENIED]] | stack [INTERVAL]"),
    }
}

/// From the moment in which the CRL is there to be fetched, with some devices denied already.
async fn by_publication(interval: &str, already: usize) -> anyhow::Result<()> {
    let (mut guarded, mut agent) = Guarded::start(interval).await?;
    for _ in 0..already {
        let device = guarded.site.device()?;
        guarded.site.revoke_certificate(&device);
        guarded.site.publisher.denied.push(device.id);
    }
    guarded.site.publisher.publish();
    agent.has(2).await?;
    let mut times = Times::default();
    for round in 0..ROUNDS {
        let pair = (guarded.site.device()?, guarded.site.device()?);
        let victims = Victims::connect([&pair.0.client, &pair.1.client], guarded.site.port).await?;
        wait(round).await;
        for device in [&pair.0, &pair.1] {
            guarded.site.revoke_certificate(device);
            guarded.site.publisher.denied.push(device.id);
        }
        guarded.site.publisher.publish();
        times.add(Instant::now(), victims).await?;
    }
    println!("{ROUNDS} publications, interval {interval}, {already} devices denied before");
    times.print();
    agent.kill().await
}

/// From the moment in which `birthcert device revoke` is typed, on a stack on this machine.
async fn by_command(interval: &str) -> anyhow::Result<()> {
    let (guarded, mut agent) = GuardedStack::start(interval).await?;
    let mut times = Times::default();
    for round in 0..ROUNDS {
        let pair = (guarded.device().await?, guarded.device().await?);
        let victims = Victims::connect([&pair.0, &pair.1], guarded.port).await?;
        wait(round).await;
        let typed = Instant::now();
        let revoke = [&pair.0, &pair.1].map(|it| format!("device revoke {} --yes", it.id));
        let commands = revoke.iter().map(|line| guarded.operator.done(line));
        tokio::try_join!(try_join_all(commands), times.add(typed, victims))?;
    }
    println!("{ROUNDS} commands, interval {interval}");
    times.print();
    agent.kill().await?;
    guarded.stack.stop().await
}

/// At any moment of the agent's pause.
async fn wait(round: usize) {
    sleep(Duration::from_millis((round as u64 * 137) % 2000)).await;
}

/// One that is about to connect, and one that is connected: a broker that binds client ids to
/// certificates allows each one session.
struct Victims {
    newcomer: Identity,
    session: Raw,
    topic: String,
    port: u16,
}

impl Victims {
    async fn connect([newcomer, insider]: [&Client; 2], port: u16) -> anyhow::Result<Self> {
        let newcomer = Identity::of(newcomer)?;
        ensure!(newcomer.connect(port).await?.is_some(), "not let in at first");
        let session = Identity::of(insider)?.connect(port).await?;
        let mut session = session.context("not let in at first")?;
        let topic = format!("devices/{}/up", insider.id);
        session.subscribe(&topic).await?;
        Ok(Self { newcomer, session, topic, port })
    }
}

#[derive(Default)]
struct Times {
    refused: Vec<Duration>,
    cut: Vec<Duration>,
}

impl Times {
    async fn add(&mut self, since: Instant, victims: Victims) -> anyhow::Result<()> {
        let Victims { newcomer, session, topic, port } = victims;
        let (refused, cut) =
            tokio::try_join!(until_refused(&newcomer, port), until_lost(session, topic))?;
        self.refused.push(refused - since);
        self.cut.push(cut - since);
        Ok(())
    }

    fn print(self) {
        let both = [("new connection refused", self.refused), ("open session cut", self.cut)];
        for (what, mut times) in both {
            times.sort();
            let at =
                |share: f64| times[((times.len() - 1) as f64 * share).round() as usize].as_millis();
            let (half, most) = (at(0.5), at(0.99));
            println!("{what:24} p50 {half:5} ms  p99 {most:5} ms  most {:5} ms", at(1.0));
        }
    }
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
