//! Redemption of enrollment tokens: one conditional write per enrollment, and another to give a use back.

use std::net::IpAddr;

use aws_sdk_dynamodb::types::{ConditionCheck, ReturnValuesOnConditionCheckFailure, Update};
use pki::{
    clock::Timestamp,
    names::{AddressRanges, DeviceId},
    token::EnrollmentToken,
};

use crate::{
    Rejection,
    error::{Error, Result},
    store::{
        client::Store,
        enrollment::token::{EnrollmentTokenRecord, TokenStatus, ranges_value},
        item::{Item, from_item, key, number, string},
        layout::{self, META},
        transaction::back_off,
        write::{condition_write, update_write},
    },
};

/// Attempts against concurrent changes of the token.
const ATTEMPTS: u32 = 5;

impl Store {
    /// Redeems an enrollment token for the device `device`: counts a use of `token`, on the condition that it
    /// authenticates, is active, not expired and below its device cap, and that the caller is within its
    /// address ranges. Returns these ranges.
    ///
    /// DynamoDB cannot match an address against a range. The address is therefore matched here, and the
    /// write is conditioned on the ranges that were used: first on `expected`, the ranges known from the
    /// last time. If they changed, the failure returns the token's item with the ranges to try next. A wrong
    /// `expected` only costs a round trip.
    ///
    /// # Errors
    /// If the token does not authenticate or may not be used, its ranges change in every attempt, or
    /// DynamoDB is unavailable.
    pub(crate) async fn redeem_enrollment_token(
        &self,
        token: &EnrollmentToken,
        device: DeviceId,
        caller: Option<IpAddr>,
        expected: Option<AddressRanges>,
        now: Timestamp,
    ) -> Result<Option<AddressRanges>> {
        // Expected ranges without the caller cannot succeed, and may be outdated: start without ranges.
        let mut ranges = expected.filter(|expected| expected.admit(caller));
        for _ in 0..ATTEMPTS {
            match self.increment_uses(token, device, ranges.as_ref(), now).await? {
                Admission::Counted => return Ok(ranges),
                // The SDK retried after a lost response, and found its own write.
                Admission::Refused(Some(old)) if is_last_use(&old, device) => return Ok(ranges),
                Admission::Refused(old) => ranges = explain_refusal(token, old, caller, now)?,
            }
        }
        Err(Error::Contended)
    }

    /// Counts a use of the token for `device`, on the condition that its ranges are `ranges`, and that this
    /// was not its last use.
    async fn increment_uses(
        &self,
        token: &EnrollmentToken,
        device: DeviceId,
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
            .set_key(Some(token_key(token)))
            .update_expression("SET last_device = :device ADD uses :one")
            .condition_expression(format!(
                "#hash = :hash AND #status = :active \
                 AND (attribute_not_exists(expires_at) OR expires_at > :now) \
                 AND (attribute_not_exists(device_cap) OR uses < device_cap) \
                 AND (attribute_not_exists(last_device) OR last_device <> :device) \
                 AND {unchanged}",
            ))
            .expression_attribute_names("#hash", "hash")
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":hash", string(token.hash().as_str()))
            .expression_attribute_values(":active", string(TokenStatus::Active.as_str()))
            .expression_attribute_values(":now", number(now.unix()))
            .expression_attribute_values(":device", string(device.to_string()))
            .expression_attribute_values(":one", number(1))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let answer = match ranges {
            None => answer,
            Some(ranges) => answer.expression_attribute_values(":ranges", ranges_value(ranges)),
        };
        match answer.send().await {
            Ok(_) => Ok(Admission::Counted),
            Err(error) => Ok(Admission::Refused(self.conflicting_item(&error)?)),
        }
    }
}

/// The outcome of giving a use of a token back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GiveBack {
    /// The use does not count any more, or never did.
    Done,
    /// The device exists, so that the use counts.
    DeviceExists,
}

impl Store {
    /// Gives back the use of the token for `device`, which was counted.
    ///
    /// # Errors
    /// If the token changes in every attempt, or DynamoDB is unavailable.
    pub(crate) async fn give_back_use(
        &self,
        token: &EnrollmentToken,
        device: DeviceId,
    ) -> Result<GiveBack> {
        self.decrement_uses(token, device, "uses > :zero").await
    }

    /// Gives back the use of the token for `device`, if it was counted, and is the last one.
    ///
    /// # Errors
    /// If the token changes in every attempt, or DynamoDB is unavailable.
    pub(crate) async fn give_back_last_use(
        &self,
        token: &EnrollmentToken,
        device: DeviceId,
    ) -> Result<GiveBack> {
        self.decrement_uses(token, device, "uses > :zero AND last_device = :device").await
    }

    /// Counts one use of the token less, on `condition`, and on the condition that `device` does not exist.
    ///
    /// A transaction, because it is idempotent: a use that was given back twice would let the token exceed
    /// its device cap.
    async fn decrement_uses(
        &self,
        token: &EnrollmentToken,
        device: DeviceId,
        condition: &str,
    ) -> Result<GiveBack> {
        for attempt in 0..ATTEMPTS {
            let mut decrement = Update::builder()
                .table_name(&self.table)
                .set_key(Some(token_key(token)))
                .condition_expression(condition)
                .update_expression("SET uses = uses - :one")
                .expression_attribute_values(":zero", number(0))
                .expression_attribute_values(":one", number(1));
            if condition.contains(":device") {
                let device = string(device.to_string());
                decrement = decrement.expression_attribute_values(":device", device);
            }
            let absent = condition_write(
                ConditionCheck::builder()
                    .table_name(&self.table)
                    .set_key(Some(key(layout::device(device), META.into())))
                    .condition_expression("attribute_not_exists(PK)"),
            )?;
            let Some(cancelled) = self.transact(vec![absent, update_write(decrement)?]).await?
            else {
                return Ok(GiveBack::Done);
            };
            match cancelled.first_failed_condition() {
                Some(0) => return Ok(GiveBack::DeviceExists),
                Some(_) => return Ok(GiveBack::Done),
                // Other devices enroll with the token at the same time.
                None if cancelled.is_conflict() => back_off(attempt).await,
                None => return Err(self.cancellation(&cancelled)),
            }
        }
        Err(Error::Contended)
    }
}

fn token_key(token: &EnrollmentToken) -> Item {
    key(layout::tokens(token.project()), layout::token_sort_key(token.subject()))
}

/// Returns true if the last use of the token `item` was for `device`.
fn is_last_use(item: &Item, device: DeviceId) -> bool {
    item.get("last_device").and_then(|last| last.as_s().ok()) == Some(&device.to_string())
}

/// The outcome of the conditional write.
enum Admission {
    Counted,
    /// The condition did not hold. Contains the token's item, if it exists.
    Refused(Option<Item>),
}

/// Returns the error for the part of the condition that did not hold. If only the ranges differed, and the
/// caller is within the token's current ranges, returns these to try again.
///
/// The order of the checks limits what a caller learns: nothing about the token without its secret, and
/// not its status from an address outside of its ranges.
fn explain_refusal(
    token: &EnrollmentToken,
    old: Option<Item>,
    caller: Option<IpAddr>,
    now: Timestamp,
) -> Result<Option<AddressRanges>> {
    let rejected = |rejection| Err(Error::EnrollmentToken(rejection));
    let Some(old) = old else {
        return rejected(Rejection::Unknown);
    };
    let old: EnrollmentTokenRecord = from_item(old)?;
    let hash = token.hash();
    match () {
        // If the request to regenerate was retried, both attributes have the new hash.
        () if !old.has_hash(&hash) && old.had_hash(&hash) => rejected(Rejection::Regenerated),
        () if !old.has_hash(&hash) => rejected(Rejection::Unknown),
        () if old.expires_at.is_some_and(|end| end <= now) => rejected(Rejection::Expired),
        () if old.address_ranges.as_ref().is_some_and(|ranges| !ranges.admit(caller)) => {
            Err(Error::AddressNotAllowed)
        }
        () if old.status == TokenStatus::Paused => Err(Error::TokenPaused),
        () if old.device_cap.is_some_and(|cap| old.uses >= cap) => Err(Error::DeviceCapReached),
        () => Ok(old.address_ranges),
    }
}
