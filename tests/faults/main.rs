//! Runs fault schedules: `SCHEDULES` of them, for the seeds from `SEED` on. Prints every event of the first
//! schedule that broke a promise, and the seeds of all.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use birthcert_tests::faults::Fixture;
use birthcert_tests::faults::schedule::{self, Outcome};

/// The schedules of `make test`.
const SCHEDULES: u64 = 300;
/// The interval of progress reports.
const INTERVAL: Duration = Duration::from_secs(10);
/// Seeds that are listed for each broken promise.
const LISTED: usize = 10;

/// The results of all schedules so far.
#[derive(Default)]
struct Results {
    schedules: u64,
    calls: usize,
    certificates: usize,
    /// The seeds of each broken promise.
    broken: BTreeMap<String, Vec<u64>>,
    failed: u64,
}

fn main() -> anyhow::Result<ExitCode> {
    let (first, schedules) = (number("SEED", 1)?, number("SCHEDULES", SCHEDULES)?);
    println!("fault schedules: {schedules}, with the seeds from {first} on");
    let fixture = Fixture::make()?;
    let (next, results, start) = (AtomicU64::new(0), Mutex::<Results>::default(), Instant::now());
    let threads = std::thread::available_parallelism()?.get();
    std::thread::scope(|scope| {
        let run = || {
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                if at >= schedules {
                    break;
                }
                let seed = first.wrapping_add(at);
                let outcome = outcome(&fixture, seed);
                results.lock().unwrap().add(seed, outcome);
            }
        };
        for _ in 0..threads {
            scope.spawn(run);
        }
        scope.spawn(|| watch(&results, schedules, start));
    });
    let results = results.into_inner().unwrap();
    println!("{}", results.summary(start.elapsed()));
    Ok(if results.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Returns a number in the environment.
fn number(variable: &str, default: u64) -> anyhow::Result<u64> {
    match std::env::var(variable) {
        Ok(text) if !text.is_empty() => {
            text.parse().with_context(|| format!("{variable} is not a number: {text}"))
        }
        _ => Ok(default),
    }
}

/// Runs one schedule. A failure of the harness counts as a broken promise, so that its seed is printed.
fn outcome(fixture: &Fixture, seed: u64) -> Outcome {
    schedule::run(fixture, seed).unwrap_or_else(|error| Outcome {
        broken: vec![format!("the harness runs: {error:#}")],
        ..Outcome::default()
    })
}

/// Reports progress until all schedules are done.
fn watch(results: &Mutex<Results>, schedules: u64, start: Instant) {
    let mut reported = Instant::now();
    loop {
        std::thread::sleep(Duration::from_millis(100));
        let (done, failed) = {
            let results = results.lock().unwrap();
            (results.schedules, results.failed)
        };
        if done >= schedules {
            return;
        }
        if reported.elapsed() >= INTERVAL && done > 0 {
            reported = Instant::now();
            let left = start.elapsed().as_secs_f64() / done as f64 * (schedules - done) as f64;
            println!("{done} of {schedules}, {failed} failed, {left:.0} s left");
        }
    }
}

impl Results {
    fn add(&mut self, seed: u64, outcome: Outcome) {
        self.schedules += 1;
        self.calls += outcome.calls;
        self.certificates += outcome.certificates;
        if outcome.broken.is_empty() {
            return;
        }
        self.failed += 1;
        let mut is_new = false;
        for broken in &outcome.broken {
            let promise = broken.split(':').next().unwrap_or_default();
            let seeds = self.broken.entry(promise.to_owned()).or_default();
            is_new |= seeds.is_empty();
            if seeds.last() != Some(&seed) {
                seeds.push(seed);
            }
        }
        if is_new {
            println!("{}", outcome.report(seed));
        }
    }

    fn summary(&self, took: Duration) -> String {
        let Self { schedules, calls, certificates, broken, failed } = self;
        let seconds = took.as_secs_f64();
        let mut summary = format!(
            "{schedules} schedules, {calls} calls to AWS, {certificates} certificates, {seconds:.1} s: \
             {failed} failed"
        );
        for (promise, seeds) in broken {
            let listed: Vec<_> = seeds.iter().take(LISTED).map(u64::to_string).collect();
            let number = seeds.len();
            summary += &format!("\n  {number} broke: {promise} (seeds {})", listed.join(", "));
        }
        summary
    }
}
