//! Time from `birthcert device revoke` until a broker refuses the device, and until its open
//! session is cut: on a whole stack on this machine, at the agent's default polling interval.
//! `cargo build --workspace`, then
//! `cargo run -p birthcert-tests --bin revocation_latency [-- [--rounds N] [BROKER ...]]`
//!
//! Fails if a device is still let in after 15 seconds, which a busy machine does not reach either, and
//! prints how many revocations missed the goal of 5 seconds. The times depend on the machine.
#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measurement that cannot go on says where"
)]

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use birthcert_tests::agent::stack_with_broker::StackWithBroker;
use birthcert_tests::brokers::kind::BrokerKind;
use birthcert_tests::brokers::mosquitto::Version;
use birthcert_tests::mqtt::raw_session::{RawSession, TlsIdentity};
use birthcert_tests::mqtt::session::Endpoint;
use birthcert_tests::mqtt::session_end::Heard;
use futures_util::future::try_join_all;
use tokio::time::sleep;

const BROKERS: [(&str, BrokerKind); 4] = [
    ("mosquitto-2.0", BrokerKind::Mosquitto(Version::V2_0)),
    ("mosquitto-2.1", BrokerKind::Mosquitto(Version::V2_1)),
    ("rabbitmq", BrokerKind::Rabbitmq),
    ("nats", BrokerKind::Nats),
];
/// The agent's default polling interval.
const INTERVAL: &str = "2s";
/// Pause between two attempts to connect, and between two messages.
const STEP: Duration = Duration::from_millis(5);
/// A message that has not returned by then is lost.
const LOST: Duration = Duration::from_secs(2);
/// Upper limit for the time until a revocation is enforced.
const LIMIT: Duration = Duration::from_secs(15);
/// Goal for 99 of 100 revocations.
const GOAL: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut rounds = 50;
    let mut brokers = Vec::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        if argument == "--rounds" {
            rounds = arguments.next().context("--rounds N")?.parse()?;
        } else {
            let broker = BROKERS.into_iter().find(|(name, _)| *name == argument);
            brokers.push(broker.with_context(|| format!("no broker {argument}"))?);
        }
    }
    if brokers.is_empty() {
        brokers.extend(BROKERS);
    }
    println!("From the command to the broker, {rounds} revocations each, interval {INTERVAL}:");
    // Concurrently: most of the time is spent waiting for the next poll.
    let measure =
        async |name: &str, kind| measure(kind, rounds).await.with_context(|| name.to_owned());
    let measured = try_join_all(brokers.iter().map(|(name, kind)| measure(name, *kind))).await?;
    let (mut all, mut missed, mut slowest) = (0, 0, Duration::ZERO);
    for ((name, _), times) in brokers.iter().zip(measured) {
        for (what, times) in times {
            all += times.len();
            missed += times.iter().filter(|time| **time > GOAL).count();
            slowest = times.iter().copied().fold(slowest, Duration::max);
            report(name, &what, times);
        }
    }
    println!(
        "{missed} of {all} measurements above the goal of {GOAL:?}; the slowest: {slowest:.1?}"
    );
    ensure!(all > 0, "nothing was measured: --rounds must be at least 1");
    ensure!(slowest < LIMIT, "a revocation took {slowest:.1?}, the limit is {LIMIT:?}");
    Ok(())
}

/// The times of each measurement, by its name.
type Times = Vec<(String, Vec<Duration>)>;

async fn measure(kind: BrokerKind, rounds: usize) -> anyhow::Result<Times> {
    let (mut setup, mut agent) = StackWithBroker::start(kind, INTERVAL, 4 * rounds).await?;
    let [tcp, websocket] = setup.endpoints();
    let mut listeners = vec![("TCP", tcp)];
    // On its WebSockets, 2.0.11 checks no CRL, and crashes after a SIGHUP.
    if kind != BrokerKind::Mosquitto(Version::V2_0) {
        listeners.push(("WebSocket", websocket));
    }

    let (mut refused, mut cut) = (Times::new(), Times::new());
    for (listener, _) in &listeners {
        refused.push((format!("new connection refused, {listener}"), Vec::new()));
        cut.push((format!("open session cut, {listener}"), Vec::new()));
    }
    for round in 0..rounds {
        let (mut clients, mut ids) = (Vec::new(), String::new());
        for (_, endpoint) in &listeners {
            let devices = [setup.device()?, setup.device()?];
            let [newcomer, other] = [TlsIdentity::of(&devices[0])?, TlsIdentity::of(&devices[1])?];
            let_in(&newcomer, *endpoint).await?;
            let session = Open::new(&devices[1].id, &other, *endpoint).await?;
            clients.push((newcomer, *endpoint, session));
            ids.extend(devices.iter().map(|it| format!("{}\n", it.id)));
        }
        // At varying moments of the polling interval.
        sleep(Duration::from_millis((round as u64 * 137) % 2000)).await;

        std::fs::write(setup.operator.path("ids"), ids)?;
        let typed = Instant::now();
        let revoke = setup.operator.done("device revoke --file ids --yes");
        let out = clients.into_iter().map(async |(newcomer, endpoint, session)| {
            tokio::try_join!(until_refused(&newcomer, endpoint, typed), session.until_cut(typed))
        });
        let (_, out) = tokio::try_join!(revoke, try_join_all(out))?;
        for (listener, (refused_at, cut_at)) in out.into_iter().enumerate() {
            refused[listener].1.push(refused_at - typed);
            cut[listener].1.push(cut_at - typed);
        }
    }
    agent.kill().await?;
    setup.stack.stop().await?;
    Ok(refused.into_iter().chain(cut).collect())
}

fn report(broker: &str, what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |share: f64| times[((times.len() - 1) as f64 * share).round() as usize];
    let missed = times.iter().filter(|time| **time > GOAL).count();
    let (half, most) = (at(0.5).as_millis(), at(0.99).as_millis());
    println!("{broker:14} {what:34} p50 {half:5} ms  p99 {most:5} ms  {missed} above the goal");
}

/// A session subscribed to its own messages.
struct Open {
    session: RawSession,
    topic: String,
}

impl Open {
    async fn new(id: &str, identity: &TlsIdentity, endpoint: Endpoint) -> anyhow::Result<Self> {
        let mut session = let_in(identity, endpoint).await?;
        let topic = format!("devices/{id}/up");
        session.subscribe(&topic).await?;
        Ok(Self { session, topic })
    }

    /// Returns the time at which the first lost message was sent. Fails if it was only late: then
    /// it arrives in place of the next one.
    async fn until_cut(mut self, typed: Instant) -> anyhow::Result<Instant> {
        let end = typed + LIMIT;
        for number in 0.. {
            let sent = Instant::now();
            let tick = async |session: &mut RawSession, number: u32| {
                session.echo(&self.topic, &format!("tick {number}"), LOST).await
            };
            match tick(&mut self.session, number).await? {
                Heard::Message(_) => {}
                Heard::Ended(_) => return Ok(sent),
                Heard::Silence => {
                    let next = tick(&mut self.session, number + 1).await?;
                    ensure!(
                        !matches!(next, Heard::Message(_)),
                        "a message was lost, the next was not"
                    );
                    return Ok(sent);
                }
            }
            ensure!(sent < end, "still heard after {LIMIT:?}");
            sleep(STEP).await;
        }
        bail!("no number is left")
    }
}

/// Connects a good device. One closed connection must not end a measurement of revocations, so it gets three
/// attempts; each failure is printed.
async fn let_in(identity: &TlsIdentity, endpoint: Endpoint) -> anyhow::Result<RawSession> {
    for _ in 0..3 {
        match identity.connect(endpoint).await? {
            Ok(session) => return Ok(session),
            Err(end) => println!("a good device was not let in by {endpoint:?}: {end}"),
        }
        sleep(Duration::from_secs(1)).await;
    }
    bail!("a good device is not let in")
}

/// Returns the time at which the first refused connection began.
async fn until_refused(
    identity: &TlsIdentity,
    endpoint: Endpoint,
    typed: Instant,
) -> anyhow::Result<Instant> {
    let end = typed + LIMIT;
    loop {
        let begun = Instant::now();
        if identity.connect(endpoint).await?.is_err() {
            return Ok(begun);
        }
        ensure!(begun < end, "still let in after {LIMIT:?}");
        sleep(STEP).await;
    }
}
