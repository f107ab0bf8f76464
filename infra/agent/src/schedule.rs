//! When something is asked for again: at its interval while it answers, more and more rarely while it
//! does not, and never at the same instant as everybody else's agent.

use std::time::{Duration, Instant};

/// The longest pause while something fails: once it is mended, a revocation waits no longer for it.
const LONGEST: Duration = Duration::from_secs(15);
/// What takes longer to come is told of.
const SLOW: Duration = Duration::from_secs(20);
pub(crate) const STILL_COMING: &str = "is still coming";

/// One thing's schedule, and what was wrong with it the last time.
#[derive(Debug)]
pub(crate) struct Schedule {
    interval: Duration,
    failures: u32,
    due: Instant,
    /// When it was asked for last.
    asked_at: Option<Instant>,
    is_coming: bool,
    /// Whether something came since that wants it asked for at once.
    is_urgent: bool,
    problem: Option<String>,
}

impl Schedule {
    /// Due at once.
    pub(crate) fn new(interval: Duration) -> Self {
        Self {
            interval,
            failures: 0,
            due: Instant::now(),
            asked_at: None,
            is_coming: false,
            is_urgent: false,
            problem: None,
        }
    }

    /// When it is to be asked for; not while it is coming.
    pub(crate) fn due(&self) -> Option<Instant> {
        (!self.is_coming).then_some(self.due)
    }

    /// Whether it is to be asked for, and was not since `start`.
    pub(crate) fn is_due(&self, start: Instant) -> bool {
        let is_due = self.due().is_some_and(|due| due <= Instant::now());
        is_due && (self.is_urgent || self.asked_at.is_none_or(|at| at < start))
    }

    pub(crate) fn is_coming(&self) -> bool {
        self.is_coming
    }

    /// It was asked for.
    pub(crate) fn begin(&mut self) {
        (self.asked_at, self.is_coming, self.is_urgent) = (Some(Instant::now()), true, false);
    }

    /// Something else has to be asked for first, and that has come.
    pub(crate) fn proceed(&mut self) {
        (self.is_coming, self.is_urgent) = (false, true);
    }

    /// There is news: it is not put off any longer.
    pub(crate) fn hurry(&mut self) {
        (self.due, self.is_urgent) = (Instant::now(), true);
    }

    /// Why it failed, if it did not succeed since, or that it does not come.
    pub(crate) fn problem(&self) -> Option<&str> {
        let is_slow = self.is_coming && self.asked_at.is_some_and(|at| at.elapsed() >= SLOW);
        self.problem.as_deref().or(is_slow.then_some(STILL_COMING))
    }

    /// Takes down what came of it, and when it is due again.
    pub(crate) fn settle<T>(&mut self, outcome: anyhow::Result<T>) -> Option<T> {
        let (value, problem) = match outcome {
            Ok(value) => (Some(value), None),
            Err(error) => (None, Some(format!("{error:#}"))),
        };
        self.failures = if problem.is_none() { 0 } else { self.failures.saturating_add(1) };
        self.due = Instant::now() + pause(self.interval, self.failures, chance());
        (self.problem, self.is_coming) = (problem, false);
        value
    }
}

/// `chance` is between 0 and 1.
fn pause(interval: Duration, failures: u32, chance: f64) -> Duration {
    if failures == 0 {
        return interval.mul_f64(0.9 + 0.2 * chance);
    }
    let doubled = interval.saturating_mul(1 << failures.min(10));
    doubled.min(LONGEST.max(interval)).mul_f64(0.5 + 0.5 * chance)
}

/// Without randomness everybody's pauses would be alike, which is no reason to stop.
fn chance() -> f64 {
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
            assert_eq!(pause(second, failures, 1.0), LONGEST);
        }
        let hour = Duration::from_secs(3600);
        assert_eq!(pause(hour, 5, 1.0), hour, "a failure makes nothing rarer than it was to be");
    }

    #[test]
    fn a_success_ends_the_backing_off() {
        let mut schedule = Schedule::new(Duration::from_millis(100));
        assert!(schedule.is_due(Instant::now()));
        for _ in 0..3 {
            assert!(schedule.settle::<()>(Err(anyhow::anyhow!("away"))).is_none());
        }
        assert_eq!(schedule.problem(), Some("away"));
        assert!(schedule.due() > Some(Instant::now() + Duration::from_millis(300)));
        assert_eq!(schedule.settle(Ok(1)), Some(1));
        assert_eq!(schedule.problem(), None);
        assert!(schedule.due() <= Some(Instant::now() + Duration::from_millis(110)));
    }

    #[test]
    fn what_is_coming_is_not_asked_for_again() {
        let mut schedule = Schedule::new(Duration::ZERO);
        schedule.begin();
        assert!(!schedule.is_due(Instant::now()) && schedule.due().is_none());
        schedule.hurry();
        assert!(!schedule.is_due(Instant::now()));
        schedule.settle(Ok(()));
        let next_round = Instant::now() + Duration::from_millis(1);
        assert!(schedule.is_due(next_round));
    }

    #[test]
    fn what_was_asked_for_is_not_again_unless_something_came() {
        let mut schedule = Schedule::new(Duration::ZERO);
        let start = Instant::now();
        assert!(schedule.is_due(start));
        schedule.begin();
        schedule.settle(Ok(()));
        assert!(!schedule.is_due(start));
        schedule.hurry();
        assert!(schedule.is_due(start));
        schedule.begin();
        schedule.proceed();
        assert!(schedule.is_due(start));
    }
}
