//! Withdraws certificates that were recorded and not released, and gives their issuances back.

use aws_sdk_dynamodb::types::{ReturnValuesOnConditionCheckFailure, Update};
use pki::{clock::Timestamp, names::DeviceId};

use crate::{
    error::{Error, Result},
    store::{
        certificate::record::LedgerEntryKey,
        client::Store,
        item::{Item, key, number, string_set},
        layout::{self, META},
        transaction::back_off,
        write::update_write,
    },
};

/// Attempts of the transaction against concurrent ones for the same device.
const ATTEMPTS: u32 = 10;
/// Seconds after which an issuance that has not ended was cut off. API Gateway waits for 30.
const CUT_OFF_SECONDS: u64 = 60;
/// Index of the write to the ledger entry.
const ENTRY: usize = 0;

/// The outcome of [`Store::withdraw`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Withdrawal {
    /// The entry is withdrawn, and the issuance given back.
    Withdrawn,
    /// The certificate was verified and has superseded earlier ones, so that it counts.
    Verified,
    /// Nothing changed: there is no such entry or device, or the issuance may still be running.
    Nothing,
}

impl Store {
    /// Marks a ledger entry as withdrawn, because no certificate was released, and gives a device its
    /// issuance back. May be repeated.
    ///
    /// # Errors
    /// If the device changes in every attempt, or DynamoDB is unavailable.
    pub(crate) async fn withdraw(
        &self,
        entry: &LedgerEntryKey,
        now: Timestamp,
    ) -> Result<Withdrawal> {
        self.withdraw_if(entry, Timestamp::NEVER, now).await
    }

    /// Withdraws what the issuances `unfinished` of a device left behind when they were cut off: its function
    /// was killed, or could not withdraw. Returns true if any issuance was given back.
    ///
    /// # Errors
    /// If the device changes in every attempt, or DynamoDB is unavailable.
    pub(crate) async fn withdraw_unfinished(
        &self,
        device: DeviceId,
        unfinished: Vec<String>,
        now: Timestamp,
    ) -> Result<bool> {
        let mut given_back = false;
        for serial_number in unfinished {
            let partition = layout::ledger(device);
            let entry = LedgerEntryKey { partition, serial_number, device: Some(device) };
            let outcome = self.withdraw_if(&entry, now.minus(CUT_OFF_SECONDS), now).await?;
            given_back |= outcome == Withdrawal::Withdrawn;
        }
        Ok(given_back)
    }

    /// Withdraws an entry that was recorded before `before`.
    async fn withdraw_if(
        &self,
        entry: &LedgerEntryKey,
        before: Timestamp,
        now: Timestamp,
    ) -> Result<Withdrawal> {
        for attempt in 0..ATTEMPTS {
            let mark = Update::builder()
                .table_name(&self.table)
                .set_key(Some(entry.item_key()))
                .condition_expression(
                    "attribute_exists(PK) AND attribute_not_exists(withdrawn_at) \
                     AND attribute_not_exists(verified_at) AND requested_at < :before",
                )
                .update_expression("SET withdrawn_at = :now")
                .expression_attribute_values(":now", number(now.unix()))
                .expression_attribute_values(":before", number(before.unix()))
                .return_values_on_condition_check_failure(
                    ReturnValuesOnConditionCheckFailure::AllOld,
                );
            let mut writes = vec![update_write(mark)?];
            if let Some(device) = entry.device {
                let give_back = Update::builder()
                    .table_name(&self.table)
                    .set_key(Some(key(layout::device(device), META.into())))
                    .condition_expression("issued > :zero")
                    .update_expression(
                        "SET issued = issued - :one DELETE live_serials :serial, unfinished :serial",
                    )
                    .expression_attribute_values(":zero", number(0))
                    .expression_attribute_values(":one", number(1))
                    .expression_attribute_values(
                        ":serial",
                        string_set([entry.serial_number.as_str()]),
                    );
                writes.push(update_write(give_back)?);
            }
            let Some(cancelled) = self.transact(writes).await? else {
                return Ok(Withdrawal::Withdrawn);
            };
            match cancelled.first_failed_condition() {
                Some(ENTRY) => {
                    return Ok(cancelled.item(ENTRY).map_or(Withdrawal::Nothing, outcome));
                }
                // The device was deleted.
                Some(_) => return Ok(Withdrawal::Nothing),
                None if cancelled.is_conflict() => back_off(attempt).await,
                None => return Err(self.cancellation(&cancelled)),
            }
        }
        Err(Error::Contended)
    }
}

/// Returns why the entry `old` could not be withdrawn. It may be damaged otherwise: that stops no other issuance.
fn outcome(old: &Item) -> Withdrawal {
    match () {
        // An earlier attempt did, whose response was lost.
        () if old.contains_key("withdrawn_at") => Withdrawal::Withdrawn,
        () if old.contains_key("verified_at") => Withdrawal::Verified,
        // Its issuance is not old enough to have been cut off.
        () => Withdrawal::Nothing,
    }
}
