//! The write that a device's certificate begins with: it authenticates and authorises the device, and puts
//! the certificate on the ledger.

use std::time::Duration;

use aws_sdk_dynamodb::{
    operation::transact_write_items::TransactWriteItemsError,
    types::{CancellationReason, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update},
};

use super::{
    Item, KeyRecord, LedgerEntry, META, Policy, Store,
    device::{self, DeviceStatus, Standing},
    key,
    ledger::{self, sort, strings, write},
    number, record, string,
};
use crate::{
    aws::is_throttling,
    clock::Timestamp,
    error::{Error, Rejection, Result, Service},
    revocation::RevocationReason,
    token::DeviceToken,
};

/// How often a device's transaction is tried against others for the same device.
const ATTEMPTS: u32 = 5;

impl Store {
    pub(super) async fn record_for_device(
        &self,
        token: &DeviceToken,
        policy: &Policy,
        entry: &LedgerEntry,
        entry_item: Item,
        now: Timestamp,
    ) -> Result<()> {
        // The first guess is a device that was never issued anything: it costs one round trip. A
        // wrong guess fails with the device's item in hand, and so does a lost race.
        let mut live_serials = Vec::new();
        for attempt in 0..ATTEMPTS {
            let mut writes = vec![
                self.claim(token, policy, &entry.serial_number, &live_serials, now)?,
                self.claim_key(&entry.key_fingerprint, token.subject())?,
                self.put_new(entry_item.clone())?,
            ];
            for superseded in &live_serials {
                writes.push(self.supersede(token, policy, superseded, now)?);
            }
            let answer =
                self.client.transact_write_items().set_transact_items(Some(writes)).send().await;
            let Err(error) = answer else {
                return Ok(());
            };
            let reasons = match error.as_service_error() {
                Some(TransactWriteItemsError::TransactionCanceledException(it)) => {
                    it.cancellation_reasons()
                }
                _ => return Err(self.unavailable(&error)),
            };
            match reading(reasons) {
                Cancellation::Condition(old) => {
                    let standing = old.map(record::<Standing>).transpose()?;
                    live_serials = entitlement(standing, token, policy)?;
                }
                Cancellation::Key(old) => {
                    let key = old.map(record::<KeyRecord>).transpose()?;
                    return Err(key.map_or(Error::Contended, |key| key.refusal()));
                }
                Cancellation::Conflict => {
                    // Another transaction holds the item for some milliseconds.
                    tokio::time::sleep(Duration::from_millis(10 << attempt)).await;
                }
                Cancellation::Throttled => {
                    let cause = "the transaction was cancelled for throttling".into();
                    return Err(Error::Throttled { service: Service::DynamoDb, cause });
                }
                Cancellation::Other => return Err(self.unavailable(&error)),
            }
        }
        Err(Error::Contended)
    }

    /// The write that authenticates and authorises a device, and makes `serial_number` its live one.
    fn claim(
        &self,
        token: &DeviceToken,
        policy: &Policy,
        serial_number: &str,
        live_serials: &[String],
        now: Timestamp,
    ) -> Result<TransactWriteItem> {
        let entitled = "token_hash = :hash AND project_id = :project AND #status = :active \
                        AND (attribute_not_exists(issuance_limit) AND issued < :limit \
                        OR issued < issuance_limit)";
        let unchanged = match live_serials {
            [] => "attribute_not_exists(live_serials)",
            _ => "live_serials = :seen",
        };
        let mut update = Update::builder()
            .table_name(&self.table)
            .set_key(Some(key(device::partition(token.subject()), META.into())))
            .condition_expression(format!("{entitled} AND {unchanged}"))
            .update_expression(
                "SET issued = issued + :one, live_serials = :serials, last_issued_at = :now",
            )
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":hash", string(token.hash().as_str()))
            .expression_attribute_values(":project", string(token.project().to_string()))
            .expression_attribute_values(":active", string(DeviceStatus::Active.as_str()))
            .expression_attribute_values(":limit", number(policy.issuance_limit()))
            .expression_attribute_values(":one", number(1))
            .expression_attribute_values(":now", number(now.unix()))
            .expression_attribute_values(":serials", strings([serial_number]))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        if !live_serials.is_empty() {
            let seen = strings(live_serials.iter().map(String::as_str));
            update = update.expression_attribute_values(":seen", seen);
        }
        write(update)
    }

    fn supersede(
        &self,
        token: &DeviceToken,
        policy: &Policy,
        serial_number: &str,
        now: Timestamp,
    ) -> Result<TransactWriteItem> {
        let update = Update::builder()
            .table_name(&self.table)
            .set_key(Some(key(ledger::partition(token.subject()), sort(serial_number))))
            .condition_expression("attribute_exists(PK)")
            // Never later than what an operator may have set before.
            .update_expression(
                "SET superseded_at = :now, \
                 revoked_at = if_not_exists(revoked_at, :then), \
                 revocation_reason = if_not_exists(revocation_reason, :reason)",
            )
            .expression_attribute_values(":now", number(now.unix()))
            .expression_attribute_values(":then", number(now.plus(policy.grace_seconds()).unix()))
            .expression_attribute_values(":reason", string(RevocationReason::Superseded.as_str()));
        write(update)
    }

    /// Checks that a token authenticates a device that may ask for certificates: for what is refused
    /// before anything is recorded, and not everybody's to know.
    ///
    /// # Errors
    /// When it does not, or the store is away.
    pub async fn authenticate(&self, token: &DeviceToken, policy: &Policy) -> Result<()> {
        let standing = self.get(device::partition(token.subject()), META.into()).await?;
        entitlement(standing, token, policy).map(drop)
    }
}

/// Why a transaction was cancelled, as far as it matters what to do next.
enum Cancellation {
    /// The device's condition did not hold; with its item, if there is one.
    Condition(Option<Item>),
    /// The device's did, and its key's did not; with the key's item.
    Key(Option<Item>),
    Conflict,
    Throttled,
    Other,
}

/// The first reason is the device's own, the second its key's. A conflict or a throttle says nothing about
/// conditions, and of a key nobody learns anything who was not found to be the device.
fn reading(reasons: &[CancellationReason]) -> Cancellation {
    let codes = || reasons.iter().filter_map(CancellationReason::code);
    match reasons.first() {
        _ if codes().any(is_throttling) => Cancellation::Throttled,
        Some(own) if own.code() == Some("ConditionalCheckFailed") => {
            Cancellation::Condition(own.item().cloned())
        }
        _ if codes().any(|code| code == "TransactionConflict") => Cancellation::Conflict,
        _ => match reasons.get(1) {
            Some(key) if key.code() == Some("ConditionalCheckFailed") => {
                Cancellation::Key(key.item().cloned())
            }
            _ => Cancellation::Other,
        },
    }
}

/// Decides from a device's item why its transaction failed: with an error, or with the serials to
/// supersede. Nobody without the right secret learns anything about a device.
fn entitlement(
    standing: Option<Standing>,
    token: &DeviceToken,
    policy: &Policy,
) -> Result<Vec<String>> {
    let rejected = |rejection| Err(Error::DeviceToken(rejection));
    let Some(standing) = standing else {
        return rejected(Rejection::Unknown);
    };
    let limit = standing.issuance_limit.unwrap_or_else(|| policy.issuance_limit());
    match () {
        () if standing.token_hash != token.hash() => rejected(Rejection::Unknown),
        () if standing.project_id != token.project() => rejected(Rejection::Unknown),
        () if standing.status != DeviceStatus::Active => rejected(Rejection::Inactive),
        () if standing.issued >= limit => Err(Error::IssuanceLimitReached),
        () => Ok(standing.live_serials),
    }
}
