//! The clock and the log of a function, as values that tests can replace.

use pki::clock::Timestamp;

/// The clock and the log of a function.
#[derive(Clone, Copy)]
pub struct Runtime {
    /// Returns the current time.
    pub clock: fn() -> Timestamp,
    /// Writes one line to the log.
    pub log: fn(&str),
}

impl Runtime {
    /// The system clock, and standard output, which Lambda sends to CloudWatch.
    pub const LAMBDA: Self = Self { clock: Timestamp::now, log: |line| println!("{line}") };

    /// Returns the current time.
    #[must_use]
    pub fn now(self) -> Timestamp {
        (self.clock)()
    }
}
