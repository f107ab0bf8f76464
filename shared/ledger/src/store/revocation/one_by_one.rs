//! Revocation of a device whose items DynamoDB refuses to write in one transaction.

use aws_sdk_dynamodb::types::TransactWriteItem;
use pki::{clock::Timestamp, crl::RevocationReason, names::DeviceId};

use crate::{
    error::{Error, Result},
    store::{
        certificate::damaged::ReadableEntries,
        client::Store,
        device::status::DeviceStatus,
        layout,
        revocation::{
            device::{RevocationOutcome, hold_start, needs_revocation, target},
            writes::LiveSerials,
        },
    },
};

impl Store {
    /// Denies and revokes a device, and revokes its certificates, each in a write of its own. An item that somebody
    /// filled up to the limit of 400 KB keeps only itself from being written.
    ///
    /// # Errors
    /// `refusal`, the error of the transaction, if nothing could be written; [`Error::Damaged`] with what could not be,
    /// after everything else was; or if DynamoDB is unavailable.
    pub(crate) async fn revoke_one_by_one(
        &self,
        id: DeviceId,
        reason: RevocationReason,
        now: Timestamp,
        refusal: Error,
    ) -> Result<RevocationOutcome> {
        let mut outcome = RevocationOutcome::default();
        let mut refused = Vec::new();
        let device = self.salvaged_standing(id).await?;
        let read = self.readable_entries(layout::ledger(id)).await?;
        let target = target(reason);
        let at = match target {
            DeviceStatus::Held => hold_start(&device, &read.entries, now),
            _ => now,
        };
        if device.status != Some(target) {
            let [revoke, deny] =
                self.revoke_device_writes(id, &device, target, reason, at, LiveSerials::Any)?;
            for (what, write) in [("its denial", deny), ("the device", revoke)] {
                let is_done = self.try_alone(write, what.into(), &mut refused).await?;
                outcome.changed |= is_done;
            }
        }
        // Read after the device was written: nothing is issued to it any more.
        let ReadableEntries { entries, damaged } =
            self.readable_entries(layout::ledger(id)).await?;
        for entry in entries.iter().filter(|entry| needs_revocation(entry, reason, now)) {
            let what = format!("certificate {}", entry.serial_number);
            let revoke = self.revoke_entry_write(id, entry, reason, at)?;
            let is_done = self.try_alone(revoke, what, &mut refused).await?;
            outcome.changed |= is_done;
            outcome.certificates += usize::from(is_done);
            if reason == RevocationReason::KeyCompromise {
                let mark = self.key_compromise_write(&entry.key_fingerprint, id, now)?;
                let what = format!("key {}", entry.key_fingerprint);
                self.try_alone(mark, what, &mut refused).await?;
            }
        }
        if !outcome.changed && !refused.is_empty() {
            return Err(refusal);
        }
        let damage = self.revoke_damaged(id, damaged, reason, now).await;
        if refused.is_empty() {
            return damage.map(|()| outcome);
        }
        let mut said = format!("of device {id} could not be written: {}", refused.join(", "));
        if let Err(error) = damage {
            said = format!("{said}; {error}");
        }
        Err(Error::Damaged(said))
    }

    /// Tries one write. Returns false if it is refused, or its condition does not hold, which `refused` then says of
    /// `what`.
    async fn try_alone(
        &self,
        write: TransactWriteItem,
        what: String,
        refused: &mut Vec<String>,
    ) -> Result<bool> {
        let error = match self.transact(vec![write]).await {
            Ok(None) => return Ok(true),
            Ok(Some(cancelled)) if cancelled.first_failed_condition().is_some() => Error::Contended,
            Ok(Some(cancelled)) => self.cancellation(&cancelled),
            Err(error) => error,
        };
        match error {
            Error::Refused { .. } | Error::Contended => {
                refused.push(format!("{what} ({error})"));
                Ok(false)
            }
            error => Err(error),
        }
    }
}
