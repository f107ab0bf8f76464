//! Polling schedules with jitter and exponential backoff, so that agents do not poll in step.

use std::time::{Duration, Instant};

/// Maximum pause while attempts fail, so that a revocation waits no longer than this after
/// recovery.
const MAX_BACKOFF: Duration = Duration::from_secs(15);
/// Time after which a pending request counts as a problem.
const SLOW: Duration = Duration::from_secs(20);
/// The problem of a pending request.
pub(crate) const IN_PROGRESS: &str = "download still in progress";

/// The schedule of one repeated task, with the error of its last attempt.
#[derive(Debug)]
pub(crate) struct Schedule {
    interval: Duration,
    failures: u32,
    due: Instant,
    started_at: Option<Instant>,
    is_pending: bool,
    /// True if an event since the last attempt calls for another one immediately.
    is_urgent: bool,
    problem: Option<String>,
}

impl Schedule {
    /// Creates a schedule that is due immediately.
    pub(crate) fn new(interval: Duration) -> Self {
        Self {
            interval,
            failures: 0,
            due: Instant::now(),
            started_at: None,
            is_pending: false,
            is_urgent: false,
            problem: None,
        }
    }

    /// Returns when the next attempt is due, or `None` while one is pending.
    pub(crate) fn due(&self) -> Option<Instant> {
        (!self.is_pending).then_some(self.due)
    }

    /// Returns true if an attempt is due and none was made since `start`.
    pub(crate) fn is_due(&self, start: Instant) -> bool {
        let is_due = self.due().is_some_and(|due| due <= Instant::now());
        is_due && (self.is_urgent || self.started_at.is_none_or(|at| at < start))
    }

    pub(crate) fn is_pending(&self) -> bool {
        self.is_pending
    }

    /// Records the start of an attempt.
    pub(crate) fn begin(&mut self) {
        (self.started_at, self.is_pending, self.is_urgent) = (Some(Instant::now()), true, false);
    }

    /// Ends an attempt that was a step of another, which is due immediately.
    pub(crate) fn follow_up(&mut self) {
        (self.is_pending, self.is_urgent) = (false, true);
    }

    /// Makes an attempt due immediately.
    pub(crate) fn expedite(&mut self) {
        (self.due, self.is_urgent) = (Instant::now(), true);
    }

    /// Returns the error of the last attempt, or that the pending one is slow.
    pub(crate) fn problem(&self) -> Option<&str> {
        let is_slow = self.is_pending && self.started_at.is_some_and(|at| at.elapsed() >= SLOW);
        self.problem.as_deref().or(is_slow.then_some(IN_PROGRESS))
    }

    /// Records the outcome of an attempt and schedules the next one.
    pub(crate) fn finish<T>(&mut self, outcome: anyhow::Result<T>) -> Option<T> {
        let (value, problem) = match outcome {
            Ok(value) => (Some(value), None),
            Err(error) => (None, Some(format!("{error:#}"))),
        };
        self.failures = if problem.is_none() { 0 } else { self.failures.saturating_add(1) };
        self.due = Instant::now() + pause(self.interval, self.failures, random_fraction());
        (self.problem, self.is_pending) = (problem, false);
        value
    }
}

/// Returns the pause before the next attempt; `fraction` is between 0 and 1.
fn pause(interval: Duration, failures: u32, fraction: f64) -> Duration {
    if failures == 0 {
        return interval.mul_f64(0.9 + 0.2 * fraction);
    }
    let doubled = interval.saturating_mul(1 << failures.min(10));
    doubled.min(MAX_BACKOFF.max(interval)).mul_f64(0.5 + 0.5 * fraction)
}

/// Falls back to zero: without randomness, pauses only lose their jitter.
fn random_fraction() -> f64 {
    f64::from(getrandom::u32().unwrap_or_default()) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backs_off_and_never_for_long() {
        let second = Duration::from_secs(1);
        assert_eq!(pause(second, 0, 0.5), second);
        assert_eq!(pause(second, 1, 1.0), 2 * second);
        assert_eq!(pause(second, 1, 0.0), second);
        assert_eq!(pause(second, 3, 1.0), 8 * second);
        for failures in [4, 10, 32, u32::MAX] {
            assert_eq!(pause(second, failures, 1.0), MAX_BACKOFF);
        }
        let hour = Duration::from_secs(3600);
        assert_eq!(pause(hour, 5, 1.0), hour, "a failure never lengthens a longer interval");
    }

    #[test]
    fn a_success_ends_the_backoff() {
        let mut schedule = Schedule::new(Duration::from_millis(100));
        assert!(schedule.is_due(Instant::now()));
        for _ in 0..3 {
            assert!(schedule.finish::<()>(Err(anyhow::anyhow!("away"))).is_none());
        }
        assert_eq!(schedule.problem(), Some("away"));
        assert!(schedule.due() > Some(Instant::now() + Duration::from_millis(300)));
        assert_eq!(schedule.finish(Ok(1)), Some(1));
        assert_eq!(schedule.problem(), None);
        assert!(schedule.due() <= Some(Instant::now() + Duration::from_millis(110)));
    }

    #[test]
    fn a_pending_request_is_not_repeated() {
        let mut schedule = Schedule::new(Duration::ZERO);
        schedule.begin();
        assert!(!schedule.is_due(Instant::now()) && schedule.due().is_none());
        schedule.expedite();
        assert!(!schedule.is_due(Instant::now()));
        schedule.finish(Ok(()));
        let next_round = Instant::now() + Duration::from_millis(1);
        assert!(schedule.is_due(next_round));
    }

    #[test]
    fn a_request_is_made_once_a_round_unless_expedited() {
        let mut schedule = Schedule::new(Duration::ZERO);
        let start = Instant::now();
        assert!(schedule.is_due(start));
        schedule.begin();
        schedule.finish(Ok(()));
        assert!(!schedule.is_due(start));
        schedule.expedite();
        assert!(schedule.is_due(start));
        schedule.begin();
        schedule.follow_up();
        assert!(schedule.is_due(start));
    }
}
