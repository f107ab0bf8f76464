//! The operator's clock, compared with AWS's.
//!
//! The ledger has the times of the machine that changed it. AWS does not notice a wrong clock: the SDK corrects its
//! signatures for the difference.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use aws_sdk_dynamodb::{
    config::{
        ConfigBag, Intercept, RuntimeComponents,
        interceptors::BeforeDeserializationInterceptorContextRef, retry::RetryConfig,
    },
    error::BoxError,
    primitives::{DateTime, DateTimeFormat},
    types::AttributeValue,
};
use pki::clock::Timestamp;

use crate::error::CommandError;

/// The difference in seconds that does not matter: CRLs and certificates are backdated by more.
const TOLERANCE: u64 = 5 * 60;

/// Reads AWS's time from the `Date` header of each response (RFC 9110, section 6.6.1).
#[derive(Clone, Debug, Default)]
pub(crate) struct ClockCheck(Arc<Mutex<Option<ClockDifference>>>);

/// The times on both sides when a response arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClockDifference {
    here: Timestamp,
    at_aws: Timestamp,
}

impl ClockCheck {
    /// Asks DynamoDB for an item that does not exist, for the time of its response. Any response has one, a
    /// refusal too. If there is none, the command finds out by itself.
    pub(crate) async fn ask(&self, client: &aws_sdk_dynamodb::Client, table: &str) {
        let key = || AttributeValue::S("CLOCK".into());
        let ask = client.get_item().table_name(table).key("PK", key()).key("SK", key()).customize();
        let once = aws_sdk_dynamodb::config::Builder::new().retry_config(RetryConfig::disabled());
        let _ = ask.config_override(once).send().await;
    }

    /// Checks that the clock was right when the last response arrived, before a command writes times.
    ///
    /// # Errors
    /// If it was not.
    pub(crate) fn expect_right(&self) -> anyhow::Result<()> {
        match self.difference() {
            None => Ok(()),
            Some(difference) => Err(CommandError::Refused(format!(
                "{difference}; nothing was changed, because the ledger would have the wrong time. Set the clock, \
                 for example with timedatectl set-ntp true, and run the command again"
            ))
            .into()),
        }
    }

    /// Warns if the clock is wrong.
    pub(crate) fn warn(&self) {
        if let Some(difference) = self.difference() {
            eprintln!("Warning: {difference}. Commands that change something refuse to run.");
        }
    }

    fn difference(&self) -> Option<ClockDifference> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).filter(ClockDifference::matters)
    }

    fn record(&self, date: &str, here: Timestamp) {
        let at_aws = DateTime::from_str(date, DateTimeFormat::HttpDate).ok();
        if let Some(at_aws) = at_aws.and_then(|it| u64::try_from(it.secs()).ok()) {
            let difference = ClockDifference { here, at_aws: Timestamp::from_unix(at_aws) };
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(difference);
        }
    }
}

impl ClockDifference {
    fn seconds(&self) -> u64 {
        self.here.unix().abs_diff(self.at_aws.unix())
    }

    fn matters(&self) -> bool {
        self.seconds() > TOLERANCE
    }
}

impl fmt::Display for ClockDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { here, at_aws } = self;
        let minutes = self.seconds() / 60;
        let (days, hours, minutes) = (minutes / (24 * 60), minutes / 60 % 24, minutes % 60);
        let direction = if here > at_aws { "fast" } else { "slow" };
        f.write_str("this machine's clock is ")?;
        for (number, unit) in [(days, "d"), (hours, "h"), (minutes, "min")] {
            if number > 0 {
                write!(f, "{number} {unit} ")?;
            }
        }
        write!(f, "{direction}: it says {here}, AWS says {at_aws}")
    }
}

impl Intercept for ClockCheck {
    fn name(&self) -> &'static str {
        "ClockCheck"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(date) = context.response().headers().get("date") {
            self.record(date, Timestamp::now());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // 2027-01-15T08:00:00Z.
    const DATE: &str = "Fri, 15 Jan 2027 08:00:00 GMT";
    const NOW: Timestamp = Timestamp::from_unix(1_800_000_000);

    fn difference(here: Timestamp) -> Option<String> {
        let check = ClockCheck::default();
        check.record(DATE, here);
        check.difference().map(|it| it.to_string())
    }

    #[test]
    fn a_clock_that_is_off_is_named_with_both_times() {
        assert_eq!(
            difference(NOW.plus(3 * 3600)).unwrap(),
            "this machine's clock is 3 h fast: it says 2027-01-15T11:00:00Z, AWS says 2027-01-15T08:00:00Z"
        );
        let slow = difference(NOW.minus(2 * 86_400 + 3 * 3600 + 4 * 60 + 5)).unwrap();
        assert!(slow.starts_with("this machine's clock is 2 d 3 h 4 min slow: "), "{slow}");
    }

    #[test]
    fn minutes_do_not_matter() {
        for here in [NOW, NOW.plus(TOLERANCE), NOW.minus(TOLERANCE)] {
            assert_eq!(difference(here), None);
        }
        assert!(difference(NOW.plus(TOLERANCE + 1)).is_some());
        assert!(difference(NOW.minus(TOLERANCE + 1)).is_some());
    }

    #[test]
    fn a_response_without_a_date_says_nothing() {
        let check = ClockCheck::default();
        for date in ["", "yesterday", "2027-01-15T08:00:00Z", "Thu, 01 Jan 1960 00:00:00 GMT"] {
            check.record(date, NOW);
        }
        assert_eq!(check.difference(), None);
        assert!(check.expect_right().is_ok());
    }
}
