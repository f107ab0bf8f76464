//! Validity of CAs in years.

use std::str::FromStr;

use pki::clock::Timestamp;
use serde::Deserialize;

/// Average year of the Gregorian calendar.
const SECONDS: f64 = 31_556_952.0;

/// A number of years, from 0.01 to 1000.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(try_from = "f64")]
pub(super) struct Years(f64);

impl Years {
    pub(super) fn from(self, now: Timestamp) -> Timestamp {
        now.plus((self.0 * SECONDS) as u64)
    }
}

impl TryFrom<f64> for Years {
    type Error = &'static str;

    fn try_from(years: f64) -> Result<Self, Self::Error> {
        let is_sensible = (0.01..=1000.0).contains(&years);
        is_sensible.then_some(Self(years)).ok_or("years must be between 0.01 and 1000")
    }
}

impl FromStr for Years {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse::<f64>().map_err(|_| "years must be a number")?.try_into()
    }
}
