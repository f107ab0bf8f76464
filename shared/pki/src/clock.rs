//! Time as the ledger and the certificates see it: whole seconds, UTC.

use std::{
    fmt,
    str::FromStr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use der::DateTime;
use serde::{Deserialize, Serialize};
use x509_cert::time::Time;

/// Seconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(u64);

impl Timestamp {
    /// 99991231235959Z, the "no well-defined expiration date" of RFC 5280, section 4.1.2.5.
    pub const NEVER: Self = Self(253_402_300_799);

    /// The system clock's time. A clock before 1970 reads as 1970, which no CA certificate covers.
    #[must_use]
    pub fn now() -> Self {
        let elapsed = SystemTime::now().duration_since(UNIX_EPOCH);
        Self(elapsed.unwrap_or(Duration::ZERO).as_secs())
    }

    /// From seconds since the Unix epoch.
    #[must_use]
    pub const fn from_unix(seconds: u64) -> Self {
        Self(seconds)
    }

    /// Seconds since the Unix epoch.
    #[must_use]
    pub const fn unix(self) -> u64 {
        self.0
    }

    /// This time and `seconds` more.
    #[must_use]
    pub const fn plus(self, seconds: u64) -> Self {
        Self(self.0.saturating_add(seconds))
    }

    /// This time less `seconds`.
    #[must_use]
    pub const fn minus(self, seconds: u64) -> Self {
        Self(self.0.saturating_sub(seconds))
    }

    /// Whole days from this time until `later`; none when that is past.
    #[must_use]
    pub const fn days_until(self, later: Self) -> u64 {
        later.0.saturating_sub(self.0) / 86_400
    }

    /// The X.509 form: `UTCTime` through 2049, `GeneralizedTime` after (RFC 5280, section 4.1.2.5).
    ///
    /// # Errors
    /// Beyond the year 9999 there is no such form.
    pub fn x509(self) -> der::Result<Time> {
        Ok(DateTime::from_unix_duration(Duration::from_secs(self.0))?.into())
    }
}

impl From<Time> for Timestamp {
    fn from(time: Time) -> Self {
        Self(time.to_unix_duration().as_secs())
    }
}

/// RFC 3339 in UTC, as in `2056-11-13T10:00:00Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match DateTime::from_unix_duration(Duration::from_secs(self.0)) {
            Ok(date_time) => date_time.fmt(f),
            Err(_) => write!(f, "{} s after 1970", self.0),
        }
    }
}

/// RFC 3339 in UTC, to the second.
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
    fn utc_time_ends_with_2049() {
        let last = Timestamp::from_unix(2_524_607_999);
        assert!(matches!(last.x509().unwrap(), Time::UtcTime(_)));
        assert!(matches!(last.plus(1).x509().unwrap(), Time::GeneralTime(_)));
    }

    #[test]
    fn there_is_no_year_10000() {
        assert!(Timestamp::NEVER.x509().is_ok());
        assert!(Timestamp::NEVER.plus(1).x509().is_err());
    }
}
