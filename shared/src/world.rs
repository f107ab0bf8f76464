//! What a function gets from the world around it as values: the time, and somewhere to log.

use crate::clock::Timestamp;

/// The time and the log of a function.
#[derive(Clone, Copy)]
pub struct World {
    /// Where the time comes from.
    pub clock: fn() -> Timestamp,
    /// Takes one line of the log.
    pub log: fn(&str),
}

impl World {
    /// The system's clock, and standard output, which Lambda sends to CloudWatch.
    pub const REAL: Self = Self { clock: Timestamp::now, log: |line| println!("{line}") };

    /// The time.
    #[must_use]
    pub fn now(self) -> Timestamp {
        (self.clock)()
    }
}
