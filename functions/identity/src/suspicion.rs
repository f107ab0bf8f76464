//! Notices when somebody guesses device tokens.
//!
//! The transaction that records a certificate also authenticates the device: one round trip less for each
//! honest device. But a wrong token then costs a key pair and a failed transaction, paid for as if it had
//! written. While wrong tokens come in numbers, each request is authenticated by a read first.

use std::sync::{Mutex, PoisonError};

use lambda::Error;
use pki::clock::Timestamp;

/// Wrong tokens within a minute that raise the suspicion.
const TOLERATED: u32 = 10;
/// The time in seconds over which wrong tokens are counted.
const WINDOW_SECONDS: u64 = 60;

/// A count of wrong tokens.
pub(crate) struct Suspicion(Mutex<Window>);

struct Window {
    since: Timestamp,
    failures: u32,
    /// True if the window before this one had too many.
    was_raised: bool,
}

impl Suspicion {
    pub(crate) fn new() -> Self {
        let since = Timestamp::from_unix(0);
        Self(Mutex::new(Window { since, failures: 0, was_raised: false }))
    }

    /// Returns true if more than [`TOLERATED`] tokens were wrong in this minute, or in the one before.
    pub(crate) fn is_raised(&self, now: Timestamp) -> bool {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        window.advance(now);
        window.was_raised || window.failures > TOLERATED
    }

    /// Counts the error of a request if its token was wrong.
    pub(crate) fn note(&self, error: &Error, now: Timestamp) {
        if let Error::Ledger(ledger::Error::DeviceToken(ledger::Rejection::Unknown)) = error {
            let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            window.advance(now);
            window.failures = window.failures.saturating_add(1);
        }
    }
}

impl Window {
    /// Begins a new window if this one is over, or if the clock was set back.
    fn advance(&mut self, now: Timestamp) {
        let is_next = self.since.plus(WINDOW_SECONDS)..self.since.plus(2 * WINDOW_SECONDS);
        if now < self.since || now >= is_next.start {
            let was_raised = self.failures > TOLERATED && is_next.contains(&now);
            *self = Self { since: now, failures: 0, was_raised };
        }
    }
}

#[cfg(test)]
mod tests {
    use ledger::Rejection;

    use super::*;

    fn wrong() -> Error {
        ledger::Error::DeviceToken(Rejection::Unknown).into()
    }

    #[test]
    fn is_raised_by_many_wrong_tokens_and_ends_after_a_quiet_minute() {
        let (suspicion, start) = (Suspicion::new(), Timestamp::from_unix(1_000_000));
        for _ in 0..TOLERATED {
            suspicion.note(&wrong(), start);
        }
        // Refused for another reason than its secret.
        suspicion.note(&ledger::Error::DeviceToken(Rejection::Inactive).into(), start);
        assert!(!suspicion.is_raised(start));
        suspicion.note(&wrong(), start.plus(1));
        assert!(suspicion.is_raised(start.plus(1)) && suspicion.is_raised(start.plus(61)));
        assert!(!suspicion.is_raised(start.plus(121)));
    }

    #[test]
    fn forgets_what_is_old_and_what_is_in_the_future() {
        let (suspicion, start) = (Suspicion::new(), Timestamp::from_unix(1_000_000));
        for seconds in 0..=u64::from(TOLERATED) {
            suspicion.note(&wrong(), start.plus(seconds * 7));
        }
        assert!(!suspicion.is_raised(start.plus(70)), "eleven, but not within a minute");
        for _ in 0..=TOLERATED {
            suspicion.note(&wrong(), start.plus(1000));
        }
        assert!(suspicion.is_raised(start.plus(1000)));
        assert!(!suspicion.is_raised(start), "the clock was set back");
    }
}
