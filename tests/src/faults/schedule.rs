//! One schedule: everybody acts while calls fail, then the faults end, what was interrupted is
//! finished, and the properties are checked.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::bail;
use futures_util::FutureExt as _;
use futures_util::future::{join_all, select_all};
use tokio::time::sleep;

use crate::faults::device::Device;
use crate::faults::fault::Plan;
use crate::faults::fixture::Fixture;
use crate::faults::operator::Operator;
use crate::faults::properties::Findings;
use crate::faults::random::Random;
use crate::faults::world::World;
use crate::faults::{properties, publisher};

/// The parts of a schedule that draw random numbers of their own.
const WORLD: u64 = 0;
const PLAN: u64 = 1;
const DEVICES: u64 = 100;
const OPERATORS: u64 = 200;

/// After this time, nothing of the faults is left: no late call, no lag, no frozen function.
const CALM: Duration = Duration::from_secs(20 * 60);

/// The stack of a thread that calls the functions. Without optimization, their futures need more than the usual two
/// megabytes.
pub(crate) const STACK: usize = 16 * 1024 * 1024;

/// The result of a schedule.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The broken promises; empty if all hold.
    pub broken: Vec<String>,
    /// Every event, in order.
    pub events: Vec<String>,
    /// The number of calls that reached a service.
    pub calls: usize,
    /// The number of certificates that were released.
    pub certificates: usize,
}

impl Outcome {
    /// Returns the events and the broken promises, with the seed to repeat them.
    pub fn report(&self, seed: u64) -> String {
        let mut report = String::new();
        let _ = writeln!(report, "schedule {seed}:");
        for event in &self.events {
            let _ = writeln!(report, "  {event}");
        }
        for broken in &self.broken {
            let _ = writeln!(report, "BROKEN {broken}");
        }
        let _ = writeln!(report, "repeat with: make faults SEED={seed} SCHEDULES=1");
        report
    }
}

/// Runs the schedule of a seed, in virtual time on a thread of its own.
///
/// # Errors
/// If the harness fails or panics. Broken promises are in the outcome.
pub fn run(fixture: &Fixture, seed: u64) -> anyhow::Result<Outcome> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK);
        let thread = thread.spawn_scoped(scope, || run_here(fixture, seed))?;
        thread.join().unwrap_or_else(|_| bail!("it panicked"))
    })
}

fn run_here(fixture: &Fixture, seed: u64) -> anyhow::Result<Outcome> {
    // The SDK draws its backoff from this thread's generator.
    fastrand::seed(seed);
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
    runtime.block_on(schedule(fixture, seed))
}

async fn schedule(fixture: &Fixture, seed: u64) -> anyhow::Result<Outcome> {
    let mut random = Random::new(seed, WORLD);
    let number = 2 + random.below(3);
    let (world, stream) = World::create(fixture, seed, &mut random, number).await?;
    let world = &world;
    world.wire.begin(Plan::draw(Random::new(seed, PLAN)));

    let draw = |part: u64, at: usize| Random::new(seed, part + at as u64);
    let mut devices: Vec<_> =
        (0..number as usize).map(|at| Device::new(world, at, draw(DEVICES, at))).collect();
    let mut operators: Vec<_> =
        (0..2).map(|at| Operator::new(world, at, draw(OPERATORS, at))).collect();
    let acting = async {
        let requests = join_all(devices.iter_mut().map(Device::run));
        let commands = join_all(operators.iter_mut().map(Operator::run));
        tokio::join!(requests, commands);
        world.wire.mend();
        world.is_over.send_replace(true);
        world.history.note("schedule", "the faults are over");
        sleep(CALM).await;
        finish(fixture, world, &mut devices, &mut operators[0]).await
    };
    let publishing = async {
        let follow = [
            publisher::follow_stream(world, stream).boxed_local(),
            publisher::follow_schedule(world).boxed_local(),
        ];
        join_all(follow).await;
        anyhow::Ok(Findings::default())
    };
    let (findings, ..) = select_all([acting.boxed_local(), publishing.boxed_local()]).await;
    let findings = findings?;
    Ok(world.history.with(|record| Outcome {
        broken: std::mem::take(&mut record.broken).into_iter().chain(findings.0).collect(),
        events: std::mem::take(&mut record.events),
        calls: record.calls.len(),
        certificates: record.devices.values().map(|device| device.released.len()).sum(),
    }))
}

/// Finishes what was interrupted, and checks the properties.
async fn finish(
    fixture: &Fixture,
    world: &World,
    devices: &mut [Device<'_>],
    operator: &mut Operator<'_>,
) -> anyhow::Result<Findings> {
    let mut findings = Findings::default();
    publish(world, operator, &mut findings).await;
    properties::of_certificates_in_hand(fixture, world, &mut findings).await?;

    // Whoever may have an identity gets one.
    operator.regenerate().await;
    operator.resume().await;
    for (client, id) in world.history.clients() {
        operator.enable(client, id).await;
    }
    for device in &mut *devices {
        let last = device.settle().await;
        properties::of_retries(world, device, last, &mut findings).await?;
    }

    // All grace periods end.
    sleep(Duration::from_secs(world.policy.grace_seconds() + 3_600)).await;
    publish(world, operator, &mut findings).await;
    properties::at_the_end(fixture, world, devices, &mut findings).await?;
    Ok(findings)
}

/// Requests a CRL, and waits until the stream and the schedule did their work.
async fn publish(world: &World, operator: &mut Operator<'_>, findings: &mut Findings) {
    operator.request_crl().await;
    sleep(Duration::from_secs(5 * 60)).await;
    if !publisher::scheduled(world).await {
        findings.add("a CRL is published once faults are over", "the publisher fails");
    }
}

#[cfg(test)]
mod tests {
    use regex_lite::Regex;

    use super::*;

    #[test]
    fn a_seed_gives_the_same_events_again() {
        let fixture = Fixture::make().unwrap();
        // Ids are random, whatever the seed.
        let ids = Regex::new("(dev|tok|proj)_[0-9A-Za-z]+").unwrap();
        let events = |seed| {
            let outcome = run(&fixture, seed).unwrap();
            ids.replace_all(&outcome.events.join("\n"), "id").into_owned()
        };
        let first = events(1);
        assert_eq!(first, events(1));
        assert_ne!(first, events(2));
    }
}
