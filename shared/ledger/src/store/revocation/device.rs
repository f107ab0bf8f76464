//! Revocation of devices and of their certificates, holds, and releases from a hold.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::TransactWriteItem;
use pki::{clock::Timestamp, crl::RevocationReason, names::DeviceId};

use crate::{
    error::{Error, OperatorError, Result},
    store::{
        certificate::{
            damaged::{DamagedEntry, ReadableEntries},
            entry::LedgerEntry,
        },
        client::Store,
        device::status::DeviceStatus,
        layout,
        revocation::{
            one_by_one::Alone,
            report::{Report, RevocationOutcome},
            rules::{needs_revocation, target},
            writes::{LiveSerials, is_on_hold},
        },
        transaction::back_off,
    },
};

/// Attempts of a transaction against concurrent ones for the same device.
const ATTEMPTS: u32 = 20;
/// A device that keeps requesting certificates can make each attempt fail. After this many attempts the
/// device itself is revoked first, in a write without a condition on issuance.
const ROUNDS_BEFORE_DEVICE_FIRST: u32 = 2;
/// A transaction has at most 100 items: two for the device, and up to two for each ledger entry, with its
/// key.
const ENTRIES_AT_ONCE: usize = 49;

impl Store {
    /// Revokes a device and all its certificates that are not revoked yet, or puts them on hold if that is
    /// the reason.
    ///
    /// After this returns, the device is issued nothing, and all its certificates are revoked on the
    /// ledger. Repeating the call changes nothing.
    ///
    /// # Errors
    /// If the device does not exist, is revoked and so cannot be put on hold, or changes in every attempt;
    /// if a ledger entry is damaged, after everything was revoked; or if DynamoDB is unavailable.
    pub async fn revoke_device(
        &self,
        id: DeviceId,
        reason: RevocationReason,
        now: Timestamp,
    ) -> Result<RevocationOutcome> {
        match self.revoke_in_transactions(id, reason, now).await {
            Err(refusal @ Error::Refused { .. }) => {
                self.revoke_one_by_one(id, reason, now, refusal).await
            }
            outcome => outcome,
        }
    }

    async fn revoke_in_transactions(
        &self,
        id: DeviceId,
        reason: RevocationReason,
        now: Timestamp,
    ) -> Result<RevocationOutcome> {
        let target = target(reason);
        let mut outcome = RevocationOutcome::default();
        // Counts the attempts without success.
        let mut attempt = 0;
        while attempt < ATTEMPTS {
            // The device is read before its entries. An issuance after this read changes the live serials,
            // and the transaction below fails; an earlier one is among the entries.
            let device = self.salvaged_standing(id).await?;
            device.expect_not_revoked_for(reason, id)?;
            let read = self.readable_entries(layout::ledger(id)).await?;
            let at = read.time_of(&device, reason, now);
            let ReadableEntries { entries, damaged } = read;
            let is_out = device.status == Some(target) && device.revoked_at.is_some();
            if attempt >= ROUNDS_BEFORE_DEVICE_FIRST && !is_out {
                let writes =
                    self.revoke_device_writes(id, &device, reason, at, LiveSerials::Any)?;
                outcome.changed |= self.try_transact(writes.into(), attempt).await?;
                attempt += 1;
                continue;
            }
            let mut due: Vec<_> =
                entries.iter().filter(|entry| needs_revocation(entry, reason, now)).collect();
            if due.is_empty() && is_out {
                if self.is_denial_lost(id).await? {
                    let deny = self.restore_denial_write(id, at)?;
                    let writes = vec![self.unchanged_device_write(id, &device)?, deny];
                    outcome.changed |= self.try_transact(writes, attempt).await?;
                    attempt += 1;
                    continue;
                }
                let mut report = Report::default();
                if reason == RevocationReason::KeyCompromise {
                    // A key that could not be marked the last time.
                    let compromised =
                        entries.iter().filter(|it| it.revocation_reason == Some(reason));
                    let keys: BTreeSet<_> = compromised.map(|it| &it.key_fingerprint).collect();
                    for fingerprint in keys {
                        self.mark_key_alone(fingerprint, id, now, &mut report).await?;
                    }
                }
                self.revoke_damaged(id, &damaged, reason, at, &mut report).await?;
                return report.end(&everything(id), reason).map(|()| outcome);
            }
            // A hold leaves out certificates that are on hold, and looks again whether they still are.
            let is_last = due.len() <= ENTRIES_AT_ONCE && target == DeviceStatus::Revoked;
            due.truncate(ENTRIES_AT_ONCE);
            // A device that was out when it was read is issued nothing since.
            let live_serials = match device.status == Some(target) {
                true => LiveSerials::Any,
                false => LiveSerials::Unchanged,
            };
            let mut writes =
                Vec::from(self.revoke_device_writes(id, &device, reason, at, live_serials)?);
            for entry in &due {
                writes.push(self.revoke_entry_write(id, entry, reason, at)?);
            }
            if reason == RevocationReason::KeyCompromise {
                // A device that generates its own key may have several certificates for it.
                let keys: BTreeSet<_> = due.iter().map(|entry| &entry.key_fingerprint).collect();
                for fingerprint in keys {
                    writes.push(self.key_compromise_write(fingerprint, id, now)?);
                }
            }
            if self.try_transact(writes, attempt).await? {
                outcome.changed = true;
                outcome.certificates += due.len();
                attempt = 0;
                if is_last {
                    let mut report = Report::default();
                    self.revoke_damaged(id, &damaged, reason, at, &mut report).await?;
                    return report.end(&everything(id), reason).map(|()| outcome);
                }
            } else {
                attempt += 1;
            }
        }
        Err(Error::Contended)
    }

    /// Revokes the damaged ledger entries of a device that is out already, whatever they say, and marks their keys if
    /// the reason is a compromise. All of them are in the report.
    ///
    /// # Errors
    /// If DynamoDB is unavailable.
    pub(super) async fn revoke_damaged(
        &self,
        id: DeviceId,
        damaged: &[DamagedEntry],
        reason: RevocationReason,
        at: Timestamp,
        report: &mut Report,
    ) -> Result<()> {
        let partition = layout::ledger(id);
        self.revoke_damaged_entries(&partition, damaged, reason, at, report).await?;
        if reason == RevocationReason::KeyCompromise {
            for fingerprint in damaged.iter().filter_map(|it| it.key_fingerprint.as_ref()) {
                self.mark_key_alone(fingerprint, id, at, report).await?;
            }
        }
        Ok(())
    }

    /// Revokes one certificate of a device, or puts it on hold if that is the reason. The device may obtain
    /// another certificate.
    ///
    /// If the reason is a key compromise, no certificate is issued for the key again, and the device's
    /// other certificates for it are revoked too.
    ///
    /// # Errors
    /// If the certificate does not exist or changes in every attempt; if its ledger entry is damaged, after it
    /// was revoked; if the reason is a key compromise and an entry is damaged, which may be one for the same key;
    /// or if DynamoDB is unavailable.
    pub async fn revoke_certificate(
        &self,
        id: DeviceId,
        serial_number: &str,
        reason: RevocationReason,
        now: Timestamp,
    ) -> Result<RevocationOutcome> {
        let is_compromised = reason == RevocationReason::KeyCompromise;
        let ReadableEntries { entries, damaged } =
            self.readable_entries(layout::ledger(id)).await?;
        let intact = entries.into_iter().find(|entry| entry.serial_number == serial_number);
        let named = match intact {
            Some(entry) => Some(Some(entry.key_fingerprint)),
            None => {
                damaged.into_iter().find(|it| it.is_of(serial_number)).map(|it| it.key_fingerprint)
            }
        };
        let fingerprint = named.ok_or_else(|| {
            OperatorError::Missing(format!("certificate {serial_number} of device {id}"))
        })?;
        // None if only the certificate itself is to be revoked, or nobody can tell its key.
        let compromised = fingerprint.as_ref().filter(|_| is_compromised);
        let mut report = Report::default();
        if let Some(fingerprint) = compromised {
            // The key is marked before the entries are read again, which then include every certificate
            // that was issued for it.
            self.mark_key_alone(fingerprint, id, now, &mut report).await?;
        }
        let mut outcome = RevocationOutcome::default();
        let mut refused = BTreeSet::new();
        for attempt in 0..ATTEMPTS {
            let ReadableEntries { entries, damaged } =
                self.readable_entries(layout::ledger(id)).await?;
            let is_due = |entry: &&LedgerEntry| {
                (entry.serial_number == serial_number
                    || compromised == Some(&entry.key_fingerprint))
                    && needs_revocation(entry, reason, now)
                    && !refused.contains(&entry.serial_number)
            };
            let due: Vec<_> = entries.iter().filter(is_due).collect();
            let mut is_changed = false;
            for entry in due {
                match self.revoke_entry_alone(id, entry, reason, now, &mut report).await? {
                    Alone::Done => {
                        outcome.changed = true;
                        outcome.certificates += 1;
                    }
                    Alone::Changed => is_changed = true,
                    Alone::Refused => {
                        refused.insert(entry.serial_number.clone());
                    }
                }
            }
            if is_changed {
                back_off(attempt).await;
                continue;
            }
            let is_named = |it: &&DamagedEntry| {
                it.is_of(serial_number)
                    || compromised.is_some() && compromised == it.key_fingerprint.as_ref()
            };
            let named = damaged.iter().filter(is_named);
            let partition = layout::ledger(id);
            self.revoke_damaged_entries(&partition, named, reason, now, &mut report).await?;
            report.may_lack_same_key =
                is_compromised && damaged.iter().any(|it| it.key_fingerprint.is_none());
            let what = format!("certificate {serial_number} of device {id}");
            return report.end(&what, reason).map(|()| outcome);
        }
        Err(Error::Contended)
    }

    /// Releases a device from a hold: restores its former status and that of its certificates.
    ///
    /// Certificates that were put on hold one by one before the device was, stay on hold. If the device
    /// is not on hold, they are released. A certificate that was superseded during the hold does not
    /// become good again.
    ///
    /// # Errors
    /// If the device does not exist, is revoked, or changes in every attempt; or if DynamoDB is
    /// unavailable.
    pub async fn release_hold(&self, id: DeviceId) -> Result<RevocationOutcome> {
        let mut outcome = RevocationOutcome::default();
        for attempt in 0..ATTEMPTS {
            let device = self.device_standing(id).await?;
            if let Some(status @ DeviceStatus::Revoked) = device.status {
                return Err(OperatorError::DeviceStatus { device_id: id, status }.into());
            }
            let entries = self.device_certificates(id).await?;
            let is_held = device.status == Some(DeviceStatus::Held);
            let since = device.revoked_at.filter(|_| is_held);
            let is_releasable =
                |entry: &&LedgerEntry| is_on_hold(entry) && entry.revoked_at >= since;
            let mut due: Vec<_> = entries.iter().filter(is_releasable).collect();
            if due.is_empty() && !is_held {
                return Ok(outcome);
            }
            let is_last = due.len() <= ENTRIES_AT_ONCE;
            due.truncate(ENTRIES_AT_ONCE);
            // The device comes last, so that a crash leaves no active device with certificates on hold.
            let mut writes = match is_held && is_last {
                true => self.release_device_writes(id, &device)?.into(),
                false => vec![self.unchanged_device_write(id, &device)?],
            };
            for entry in &due {
                writes.push(self.release_entry_write(id, entry)?);
            }
            if self.try_transact(writes, attempt).await? {
                outcome.changed = true;
                outcome.certificates += due.len();
                if is_last {
                    return Ok(outcome);
                }
            }
        }
        Err(Error::Contended)
    }

    /// Tries a transaction. If a condition did not hold or another transaction was in its way, pauses for a
    /// time that grows with `attempt`, and returns false.
    async fn try_transact(&self, writes: Vec<TransactWriteItem>, attempt: u32) -> Result<bool> {
        let Some(cancelled) = self.transact(writes).await? else {
            return Ok(true);
        };
        if cancelled.first_failed_condition().is_none() && !cancelled.is_conflict() {
            return Err(self.cancellation(&cancelled));
        }
        back_off(attempt).await;
        Ok(false)
    }
}

/// Names a device with all that it has, in a report.
fn everything(id: DeviceId) -> String {
    format!("device {id} with all its certificates")
}
