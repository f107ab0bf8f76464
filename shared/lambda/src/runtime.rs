//! What a function gets from its runtime as values: the time, and somewhere to log.

use pki::clock::Timestamp;

/// The clock and the log of a function.
#[derive(Clone, Copy)]
pub struct Runtime {
    /// Source of the time.
    pub clock: fn() -> Timestamp,
    /// Receives one line of the log.
    pub log: fn(&str),
}

impl Runtime {
    /// The system's clock, and standard output, which Lambda sends to CloudWatch.
    pub const LAMBDA: Self = Self { clock: Timestamp::now, log: |line| println!("{line}") };

    /// Returns the current time.
    #[must_use]
    pub fn now(self) -> Timestamp {
        (self.clock)()
    }
}
