//! Writes of a revocation that DynamoDB refuses in one transaction, each on its own. An item that somebody filled up
//! to the limit of 400 KB keeps only itself from being written.

use aws_sdk_dynamodb::types::TransactWriteItem;
use pki::{clock::Timestamp, crl::RevocationReason, names::DeviceId};

use crate::{
    error::{Error, Result},
    store::{
        certificate::{damaged::ReadableEntries, entry::LedgerEntry},
        client::Store,
        layout,
        revocation::{
            report::{Report, RevocationOutcome},
            rules::{needs_revocation, target},
            writes::LiveSerials,
        },
        transaction::back_off,
    },
};

/// Attempts of a write against concurrent ones.
const ATTEMPTS: u32 = 20;

/// The outcome of a write on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Alone {
    /// The write is carried out.
    Done,
    /// The condition of the write does not hold, or others write the item all the time.
    Changed,
    /// DynamoDB refuses the write, which the report says.
    Refused,
}

impl Store {
    /// Denies and revokes a device, and revokes its certificates.
    ///
    /// # Errors
    /// `refusal`, the error of the transaction, if the device was not out and nothing could be written;
    /// [`Error::Damaged`] with what could not be, after everything else was; or if DynamoDB is unavailable.
    pub(crate) async fn revoke_one_by_one(
        &self,
        id: DeviceId,
        reason: RevocationReason,
        now: Timestamp,
        refusal: Error,
    ) -> Result<RevocationOutcome> {
        let mut outcome = RevocationOutcome::default();
        let mut report = Report::default();
        let device = self.salvaged_standing(id).await?;
        device.expect_not_revoked_for(reason, id)?;
        let read = self.readable_entries(layout::ledger(id)).await?;
        let at = read.time_of(&device, reason, now);
        let is_out = device.status == Some(target(reason));
        if !is_out {
            let writes = self.revoke_device_writes(id, &device, reason, at, LiveSerials::Any)?;
            let [revoke, deny] = writes;
            for (what, write) in [("its denial", deny), ("the device", revoke)] {
                outcome.changed |= self.try_alone(write, what, &mut report).await?;
            }
        } else if self.is_denial_lost(id).await? {
            let deny = self.restore_denial_write(id, at)?;
            outcome.changed |= self.try_alone(deny, "its denial", &mut report).await?;
        }
        // Read after the device was written: nothing is issued to it any more.
        let ReadableEntries { entries, damaged } =
            self.readable_entries(layout::ledger(id)).await?;
        for entry in &entries {
            // The key comes first, because a repetition finds it by the entry.
            if reason == RevocationReason::KeyCompromise
                && (needs_revocation(entry, reason, now) || entry.revocation_reason == Some(reason))
            {
                self.mark_key_alone(&entry.key_fingerprint, id, now, &mut report).await?;
            }
            if needs_revocation(entry, reason, now) {
                let what = format!("certificate {}", entry.serial_number);
                let revoke = self.revoke_entry_write(id, entry, reason, at)?;
                let is_done = self.try_alone(revoke, &what, &mut report).await?;
                outcome.changed |= is_done;
                outcome.certificates += usize::from(is_done);
            }
        }
        self.revoke_damaged(id, &damaged, reason, at, &mut report).await?;
        if !is_out && !outcome.changed && report.has_refusals() {
            return Err(refusal);
        }
        report.end(&format!("device {id}"), reason).map(|()| outcome)
    }

    /// Revokes an entry of the ledger, or puts it on hold.
    pub(crate) async fn revoke_entry_alone(
        &self,
        id: DeviceId,
        entry: &LedgerEntry,
        reason: RevocationReason,
        at: Timestamp,
        report: &mut Report,
    ) -> Result<Alone> {
        let what = format!("certificate {}", entry.serial_number);
        self.write_alone(self.revoke_entry_write(id, entry, reason, at)?, &what, report).await
    }

    /// Marks a key as compromised, so that no certificate is issued for it again. If that cannot be written, the report
    /// says so.
    pub(crate) async fn mark_key_alone(
        &self,
        fingerprint: &str,
        id: DeviceId,
        now: Timestamp,
        report: &mut Report,
    ) -> Result<()> {
        let mark = self.key_compromise_write(fingerprint, id, now)?;
        self.try_alone(mark, &format!("key {fingerprint}"), report).await.map(drop)
    }

    /// Tries one write. Returns false if it is not carried out, which the report then says of `what`.
    async fn try_alone(
        &self,
        write: TransactWriteItem,
        what: &str,
        report: &mut Report,
    ) -> Result<bool> {
        let outcome = self.write_alone(write, what, report).await?;
        if outcome == Alone::Changed {
            report.refuse(what, Error::Contended)?;
        }
        Ok(outcome == Alone::Done)
    }

    async fn write_alone(
        &self,
        write: TransactWriteItem,
        what: &str,
        report: &mut Report,
    ) -> Result<Alone> {
        for attempt in 0..ATTEMPTS {
            let error = match self.transact(vec![write.clone()]).await {
                Ok(None) => return Ok(Alone::Done),
                Ok(Some(cancelled)) if cancelled.is_conflict() => {
                    back_off(attempt).await;
                    continue;
                }
                Ok(Some(cancelled)) if cancelled.first_failed_condition().is_some() => {
                    return Ok(Alone::Changed);
                }
                Ok(Some(cancelled)) => self.cancellation(&cancelled),
                Err(error) => error,
            };
            report.refuse(what, error)?;
            return Ok(Alone::Refused);
        }
        Ok(Alone::Changed)
    }
}
