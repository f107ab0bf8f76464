//! Letting devices in: the write that every enrollment is conditioned on.

use std::net::IpAddr;

use aws_sdk_dynamodb::{
    operation::update_item::UpdateItemError, types::ReturnValuesOnConditionCheckFailure,
};

use crate::store::{
    client::Store,
    enrollment::token::{EnrollmentTokenRecord, TokenStatus, ranges_value},
    item::{Item, key, number, record, string},
    layout,
    write::is_condition_failure,
};
use crate::{
    Rejection,
    error::{Error, Result},
};
use pki::{clock::Timestamp, names::AddressRanges, token::EnrollmentToken};

/// How often an operator may change a token's address ranges within one enrollment.
const ATTEMPTS: u32 = 5;

impl Store {
    /// Lets one device in: counts a use of `token`, on the condition that it is right, active, not
    /// expired, below its cap, and that the caller is within its address ranges. Returns those.
    ///
    /// DynamoDB cannot match an address against a range. So the write is conditioned on the very
    /// ranges that the caller was held against: `expected`, the ones of last time, at first. Wrong
    /// ones fail with the token's item in hand, which has the ones to try next. What is expected
    /// decides nothing but the number of round trips: one when it is right.
    ///
    /// # Errors
    /// Why not; or when the store is away.
    pub async fn admit(
        &self,
        token: &EnrollmentToken,
        caller: Option<IpAddr>,
        expected: Option<AddressRanges>,
        now: Timestamp,
    ) -> Result<Option<AddressRanges>> {
        // Ranges without the caller would let nobody in, and not say whether they still hold.
        let mut ranges = expected.filter(|expected| expected.admit(caller));
        for _ in 0..ATTEMPTS {
            match self.count_use(token, ranges.as_ref(), now).await? {
                Admission::Counted => return Ok(ranges),
                Admission::Refused(old) => ranges = passage(token, old, caller, now)?,
            }
        }
        Err(Error::Contended)
    }

    async fn count_use(
        &self,
        token: &EnrollmentToken,
        ranges: Option<&AddressRanges>,
        now: Timestamp,
    ) -> Result<Admission> {
        let unchanged = match ranges {
            None => "attribute_not_exists(address_ranges)",
            Some(_) => "address_ranges = :ranges",
        };
        let answer = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key(
                layout::project(token.project()),
                layout::token_sort(token.subject()),
            )))
            .update_expression("ADD uses :one")
            .condition_expression(format!(
                "#hash = :hash AND #status = :active \
                 AND (attribute_not_exists(expires_at) OR expires_at > :now) \
                 AND (attribute_not_exists(device_cap) OR uses < device_cap) \
                 AND {unchanged}",
            ))
            .expression_attribute_names("#hash", "hash")
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":hash", string(token.hash().as_str()))
            .expression_attribute_values(":active", string(TokenStatus::Active.as_str()))
            .expression_attribute_values(":now", number(now.unix()))
            .expression_attribute_values(":one", number(1))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let answer = match ranges {
            None => answer,
            Some(ranges) => answer.expression_attribute_values(":ranges", ranges_value(ranges)),
        };
        match answer.send().await {
            Ok(_) => Ok(Admission::Counted),
            Err(error) if is_condition_failure(&error) => {
                Ok(Admission::Refused(match error.into_service_error() {
                    UpdateItemError::ConditionalCheckFailedException(failure) => failure.item,
                    _ => None,
                }))
            }
            Err(error) => Err(self.unavailable(&error)),
        }
    }
}

enum Admission {
    Counted,
    /// With the token's item, if there is one.
    Refused(Option<Item>),
}

/// Which part of the condition did not hold, in the order in which it may be told: nobody without
/// the right secret learns anything about a token, and nobody in the wrong place how it stands. If
/// it was the ranges alone, and the caller is within the ones that are there, these are returned.
fn passage(
    token: &EnrollmentToken,
    old: Option<Item>,
    caller: Option<IpAddr>,
    now: Timestamp,
) -> Result<Option<AddressRanges>> {
    let rejected = |rejection| Err(Error::EnrollmentToken(rejection));
    let Some(old) = old else {
        return rejected(Rejection::Unknown);
    };
    let old: EnrollmentTokenRecord = record(old)?;
    let hash = token.hash();
    match () {
        // A regeneration that was sent twice leaves one hash in both places.
        () if !old.is(&hash) && old.was(&hash) => rejected(Rejection::Superseded),
        () if !old.is(&hash) => rejected(Rejection::Unknown),
        () if old.expires_at.is_some_and(|end| end <= now) => rejected(Rejection::Expired),
        () if old.address_ranges.as_ref().is_some_and(|ranges| !ranges.admit(caller)) => {
            Err(Error::AddressNotAllowed)
        }
        () if old.status == TokenStatus::Paused => Err(Error::TokenPaused),
        () if old.device_cap.is_some_and(|cap| old.uses >= cap) => Err(Error::DeviceCapReached),
        () => Ok(old.address_ranges),
    }
}
