//! Time in the ledger and in certificates: whole seconds, UTC.

use std::{
    fmt,
    str::FromStr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use der::DateTime;
use serde::{Deserialize, Serialize};
use x509_cert::time::Time;

/// A time, in whole seconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(u64);

impl Timestamp {
    /// 99991231235959Z, for certificates without a well-defined expiration date (RFC 5280, section
    /// 4.1.2.5).
    pub const NEVER: Self = Self(253_402_300_799);

    /// Returns the time of the system clock. A clock before 1970 reads as 1970, before any CA
    /// certificate is valid.
    #[must_use]
    pub fn now() -> Self {
        let elapsed = SystemTime::now().duration_since(UNIX_EPOCH);
        Self(elapsed.unwrap_or(Duration::ZERO).as_secs())
    }

    /// Creates a time from seconds since the Unix epoch.
    #[must_use]
    pub const fn from_unix(seconds: u64) -> Self {
        Self(seconds)
    }

    /// Returns the seconds since the Unix epoch.
    #[must_use]
    pub const fn unix(self) -> u64 {
        self.0
    }

    /// Returns the time `seconds` later, saturating.
    #[must_use]
    pub const fn plus(self, seconds: u64) -> Self {
        Self(self.0.saturating_add(seconds))
    }

    /// Returns the time `seconds` earlier, not before 1970.
    #[must_use]
    pub const fn minus(self, seconds: u64) -> Self {
        Self(self.0.saturating_sub(seconds))
    }

    /// Returns the whole days from this time until `later`, or zero if that is earlier.
    #[must_use]
    pub const fn days_until(self, later: Self) -> u64 {
        later.0.saturating_sub(self.0) / 86_400
    }

    /// Returns the X.509 form: `UTCTime` through 2049, `GeneralizedTime` after (RFC 5280, section
    /// 4.1.2.5).
    ///
    /// # Errors
    /// If the time is after the year 9999.
    pub fn x509(self) -> der::Result<Time> {
        Ok(DateTime::from_unix_duration(Duration::from_secs(self.0))?.into())
    }
}

impl From<Time> for Timestamp {
    fn from(time: Time) -> Self {
        Self(time.to_unix_duration().as_secs())
    }
}

/// Writes RFC 3339 in UTC, as in `2056-11-13T10:00:00Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match DateTime::from_unix_duration(Duration::from_secs(self.0)) {
            Ok(date_time) => date_time.fmt(f),
            Err(_) => write!(f, "{} s after 1970", self.0),
        }
    }
}

/// Parses RFC 3339 in UTC, to the second.
impl FromStr for Timestamp {
    type Err = der::Error;

    fn from_str(text: &str) -> der::Result<Self> {
        Ok(Self(DateTime::from_str(text)?.unix_duration().as_secs()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_rfc_3339() {
        assert_eq!(Timestamp::from_unix(1_800_000_000).to_string(), "2027-01-15T08:00:00Z");
        assert_eq!("2027-01-15T08:00:00Z".parse(), Ok(Timestamp::from_unix(1_800_000_000)));
        assert_eq!(Timestamp::NEVER.to_string(), "9999-12-31T23:59:59Z");
    }

    #[test]
    fn days_are_whole_and_never_negative() {
        let start = Timestamp::from_unix(1_800_000_000);
        for (seconds, days) in [(0, 0), (86_399, 0), (86_400, 1), (3 * 86_400 - 1, 2)] {
            assert_eq!(start.days_until(start.plus(seconds)), days, "{seconds}");
        }
        assert_eq!(start.days_until(start.minus(86_400)), 0);
        assert_eq!(Timestamp::from_unix(5).minus(6).unix(), 0);
    }

    #[test]
    fn utc_time_ends_with_2049() {
        let last = Timestamp::from_unix(2_524_607_999);
        assert!(matches!(last.x509().unwrap(), Time::UtcTime(_)));
        assert!(matches!(last.plus(1).x509().unwrap(), Time::GeneralTime(_)));
    }

    #[test]
    fn there_is_no_year_10000() {
        assert!(Timestamp::NEVER.x509().is_ok());
        let after = Timestamp::NEVER.plus(1);
        assert!(after.x509().is_err());
        assert_eq!(after.to_string(), "253402300800 s after 1970");
    }
}
