//! Supersedes a subject's earlier certificates, once a newer one was verified.
//!
//! A write of its own, and not part of the one that records the newer certificate: if the issuance fails, is
//! cut off or runs out of time, the earlier certificates stay good.

use aws_sdk_dynamodb::types::{TransactWriteItem, Update};
use pki::{clock::Timestamp, crl::RevocationReason, names::DeviceId};

use crate::{
    Rejection,
    error::{Error, Result},
    store::{
        certificate::record::{LedgerEntryKey, RecordedEntry},
        client::Store,
        item::{key, number, string, string_set},
        layout::{self, META},
        transaction::back_off,
        write::update_write,
    },
};

/// Attempts of the transaction against concurrent ones for the same device.
const ATTEMPTS: u32 = 10;
/// A transaction has at most 100 items: the new certificate, the device, and each superseded certificate.
const ENTRIES_AT_ONCE: usize = 98;

impl Store {
    /// Supersedes the certificates that `recorded` replaces: those that the device had when it was recorded,
    /// or the one of a service that it renews. Does nothing if there are none. May be repeated.
    ///
    /// A device's certificate then counts as revoked when its grace period ends, unless it was revoked earlier.
    ///
    /// # Errors
    /// If the certificate was withdrawn, because its issuance took too long; if another request of the device
    /// superseded it meanwhile, so that it is of no use any more; if the device was deleted; or
    /// if DynamoDB is unavailable.
    pub(crate) async fn supersede_earlier(
        &self,
        recorded: &RecordedEntry,
        now: Timestamp,
    ) -> Result<()> {
        if recorded.supersedes.is_empty() {
            return Ok(());
        }
        // More than one transaction only for a device with many issuances that were cut off, which come first.
        let last = recorded.supersedes.len().saturating_sub(ENTRIES_AT_ONCE);
        let (before, last) = recorded.supersedes.split_at(last);
        for earlier in before.chunks(ENTRIES_AT_ONCE) {
            self.supersede(recorded, Vec::new(), earlier, now).await?;
        }
        let mut end = vec![self.verification_write(&recorded.key, now)?];
        if let Some(device) = recorded.key.device {
            end.push(self.end_write(device, recorded)?);
        }
        self.supersede(recorded, end, last, now).await
    }

    /// Supersedes the certificates `earlier` in one transaction with the writes `end`, which are none, or
    /// those of [`Store::verification_write`] and [`Store::end_write`].
    async fn supersede(
        &self,
        recorded: &RecordedEntry,
        end: Vec<TransactWriteItem>,
        earlier: &[String],
        now: Timestamp,
    ) -> Result<()> {
        let mut on_ledger: Vec<&str> = earlier.iter().map(String::as_str).collect();
        for attempt in 0..ATTEMPTS {
            let mut writes = end.clone();
            for serial_number in &on_ledger {
                writes.push(self.supersession_write(recorded, serial_number, now)?);
            }
            let Some(cancelled) = self.transact(writes).await? else {
                return Ok(());
            };
            match cancelled.first_failed_condition() {
                // A serial number without an entry has no certificate that could be superseded.
                Some(index) if index >= end.len() => {
                    let mut index = end.len()..;
                    on_ledger.retain(|_| {
                        index.next().is_some_and(|index| !cancelled.condition_failed(index))
                    });
                    if on_ledger.is_empty() && end.is_empty() {
                        return Ok(());
                    }
                }
                Some(0) => return Err(Error::Contended),
                Some(_) => return Err(Error::DeviceToken(Rejection::Unknown)),
                None if cancelled.is_conflict() => back_off(attempt).await,
                None => return Err(self.cancellation(&cancelled)),
            }
        }
        Err(Error::Contended)
    }

    /// Returns the write that notes in the new certificate's entry that it was verified, on the condition
    /// that it was neither withdrawn nor superseded.
    fn verification_write(
        &self,
        entry: &LedgerEntryKey,
        now: Timestamp,
    ) -> Result<TransactWriteItem> {
        update_write(
            Update::builder()
                .table_name(&self.table)
                .set_key(Some(entry.item_key()))
                .condition_expression(
                    "attribute_exists(PK) AND attribute_not_exists(withdrawn_at) \
                     AND attribute_not_exists(superseded_at)",
                )
                .update_expression("SET verified_at = :now")
                .expression_attribute_values(":now", number(now.unix())),
        )
    }

    /// Returns the write that ends the issuance in the device's item.
    fn end_write(&self, device: DeviceId, recorded: &RecordedEntry) -> Result<TransactWriteItem> {
        let earlier = recorded.supersedes.iter().map(String::as_str);
        let ended = [recorded.key.serial_number.as_str()];
        update_write(
            Update::builder()
                .table_name(&self.table)
                .set_key(Some(key(layout::device(device), META.into())))
                .condition_expression("attribute_exists(PK)")
                .update_expression("DELETE live_serials :earlier, unfinished :ended")
                .expression_attribute_values(":earlier", string_set(earlier))
                .expression_attribute_values(":ended", string_set(ended)),
        )
    }

    /// Returns the write that supersedes an earlier certificate.
    fn supersession_write(
        &self,
        recorded: &RecordedEntry,
        serial_number: &str,
        now: Timestamp,
    ) -> Result<TransactWriteItem> {
        let entry = LedgerEntryKey { serial_number: serial_number.into(), ..recorded.key.clone() };
        let update = Update::builder()
            .table_name(&self.table)
            .set_key(Some(entry.item_key()))
            .condition_expression("attribute_exists(PK)")
            .expression_attribute_values(":now", number(now.unix()));
        // Keeps an earlier revocation by an operator, and an earlier supersession.
        let superseded = "SET superseded_at = if_not_exists(superseded_at, :now)";
        update_write(match recorded.grace_seconds {
            None => update.update_expression(superseded),
            Some(grace) => update
                .update_expression(format!(
                    "{superseded}, revoked_at = if_not_exists(revoked_at, :then), \
                     revocation_reason = if_not_exists(revocation_reason, :reason)",
                ))
                .expression_attribute_values(":then", number(now.plus(grace).unix()))
                .expression_attribute_values(
                    ":reason",
                    string(RevocationReason::Superseded.as_str()),
                ),
        })
    }
}
