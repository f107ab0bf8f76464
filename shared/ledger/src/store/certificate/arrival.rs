//! The order of a device's requests.

use pki::clock::Timestamp;
use serde::{Deserialize, Serialize};

/// The time at which a request reached API Gateway, in milliseconds since the Unix epoch.
///
/// The requests of a device are ordered by it. The function's own clock would order them wrongly: a request that
/// waited for a cold start reads it late.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Arrival(u64);

impl Arrival {
    /// Milliseconds by which a later request may be ahead. No request takes as long: a time beyond it comes from
    /// a clock that is wrong, and must not keep the device out.
    const WRONG_CLOCK: u64 = 60_000;

    /// Creates the time from milliseconds since the Unix epoch.
    #[must_use]
    pub const fn from_unix_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Returns the milliseconds since the Unix epoch.
    pub(crate) const fn unix_millis(self) -> u64 {
        self.0
    }

    /// Returns the latest time at which another request may have arrived that overtook this one.
    pub(crate) const fn latest_overtaking(self) -> Self {
        Self(self.0.saturating_add(Self::WRONG_CLOCK))
    }

    /// Returns true if a request that arrived at `last`, and was recorded before this one, arrived after it.
    ///
    /// A device that gives up waiting asks again, and then has the certificate of its later request. The earlier
    /// request must not supersede that certificate.
    pub(crate) fn is_overtaken_by(self, last: Self) -> bool {
        last > self && last <= self.latest_overtaking()
    }
}

/// The function's clock, for a request that did not come through API Gateway.
impl From<Timestamp> for Arrival {
    fn from(now: Timestamp) -> Self {
        Self(now.unix().saturating_mul(1000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_later_request_within_a_minute_overtakes() {
        let this = Arrival::from(Timestamp::from_unix(1_000));
        for (last, is_overtaken) in [
            (0, false),
            (999_999, false),
            (1_000_000, false),
            (1_000_001, true),
            (1_060_000, true),
            (1_060_001, false),
            (u64::MAX, false),
        ] {
            assert_eq!(this.is_overtaken_by(Arrival(last)), is_overtaken, "{last}");
        }
        assert!(!Arrival(u64::MAX).is_overtaken_by(Arrival(u64::MAX)));
    }
}
