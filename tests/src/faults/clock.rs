//! The virtual clock: it follows tokio's paused time, which jumps to the next timer whenever
//! everybody waits.

use std::cell::Cell;

use pki::clock::Timestamp;
use tokio::time::Instant;

thread_local! {
    static START: Cell<Option<(Instant, Timestamp)>> = const { Cell::new(None) };
}

/// Starts the clock of this thread's schedule at `at`.
pub(super) fn start(at: Timestamp) {
    START.set(Some((Instant::now(), at)));
}

/// Returns the virtual time.
pub(super) fn now() -> Timestamp {
    let (start, at) = START.get().expect("the clock of a schedule was started");
    at.plus(start.elapsed().as_secs())
}

/// Returns the virtual time in milliseconds since the Unix epoch, which API Gateway gives an event.
pub(super) fn unix_millis() -> u64 {
    let (start, at) = START.get().expect("the clock of a schedule was started");
    at.unix() * 1_000 + start.elapsed().as_millis() as u64
}

/// Returns the milliseconds since the schedule began.
pub(super) fn millis() -> u128 {
    START.get().map_or(0, |(start, _)| start.elapsed().as_millis())
}
