//! Revocation on the ledger.
//!
//! The index `revocations` has every entry with a `revoked_at`, by CA and by that time: what of a CA
//! counts as revoked at some moment is one query, superseded certificates included, whose time is set
//! ahead by the write that supersedes them.

use std::{collections::BTreeSet, time::Duration};

use aws_sdk_dynamodb::types::TransactWriteItem;

use crate::error::{Error, OperatorError, Result};
use crate::store::{
    certificate::entry::LedgerEntry,
    client::Store,
    device::{
        record::{DeviceState, DeviceStatus},
        upkeep::missing,
    },
    layout::{self, META},
    revocation::writes::{Issued, is_on_hold},
};
use pki::{clock::Timestamp, crl::RevocationReason, names::DeviceId};

const ATTEMPTS: u32 = 20;
/// A device that keeps asking may be issued a certificate in each round. After so many it is closed
/// first, in a write that cannot lose against that.
const ROUNDS_IN_ONE_WRITE: u32 = 2;
/// A transaction has 100 items at most, of which two are the device's, and each entry may have a key.
const ENTRIES_AT_ONCE: usize = 49;

/// What a revocation or a release changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RevocationOutcome {
    /// Whether anything was changed, on the device or its ledger.
    pub changed: bool,
    /// How many certificates were.
    pub certificates: usize,
}

impl Store {
    /// Revokes a device and every certificate of its that is good still, or will be revoked only
    /// later; or puts them on hold, if that is the reason. From the moment this returns it is issued
    /// nothing, and whatever it was issued is revoked on the ledger. To do it again changes nothing.
    ///
    /// # Errors
    /// When there is no such device, or it is revoked and cannot be put on hold; or when the store
    /// is away.
    pub async fn revoke_device(
        &self,
        id: DeviceId,
        reason: RevocationReason,
        now: Timestamp,
    ) -> Result<RevocationOutcome> {
        let target = match reason {
            RevocationReason::CertificateHold => DeviceStatus::Held,
            _ => DeviceStatus::Revoked,
        };
        let mut stamped = RevocationOutcome::default();
        for attempt in 0..ATTEMPTS {
            // The device first: what is issued after this changes its live serials, and the
            // transaction below fails. What was issued before is in the entries read next.
            let device = self.standing(id).await?;
            if device.status == DeviceStatus::Revoked && target == DeviceStatus::Held {
                return Err(
                    OperatorError::DeviceStatus { device_id: id, status: device.status }.into()
                );
            }
            if attempt >= ROUNDS_IN_ONE_WRITE && device.status != target {
                let close = self.close(id, &device, target, reason, now, Issued::Anything)?;
                stamped.changed |= self.attempt(close.into(), attempt).await?;
                continue;
            }
            let entries = self.device_certificates(id).await?;
            let mut due: Vec<_> =
                entries.iter().filter(|entry| is_due(entry, reason, now)).collect();
            if due.is_empty() && device.status == target {
                return Ok(stamped);
            }
            let is_last = due.len() <= ENTRIES_AT_ONCE;
            due.truncate(ENTRIES_AT_ONCE);
            let now =
                if target == DeviceStatus::Held { held_at(&device, &entries, now) } else { now };
            let close = self.close(id, &device, target, reason, now, Issued::NothingSince)?;
            let mut writes = Vec::from(close);
            for entry in &due {
                writes.push(self.stamp(id, entry, reason, now)?);
            }
            if reason == RevocationReason::KeyCompromise {
                // A device that brings its own key may have several certificates for it.
                let keys: BTreeSet<_> = due.iter().map(|entry| &entry.key_fingerprint).collect();
                for fingerprint in keys {
                    writes.push(self.distrust_key(fingerprint, id, now)?);
                }
            }
            if self.attempt(writes, attempt).await? {
                stamped.changed = true;
                stamped.certificates += due.len();
                if is_last {
                    return Ok(stamped);
                }
            }
        }
        Err(Error::Contended)
    }

    /// Revokes one certificate of a device, or puts it on hold. The device may ask for another. If it was
    /// the key that was compromised, no certificate is issued for that again, and the device's others for
    /// it are revoked too.
    ///
    /// # Errors
    /// When there is no such certificate; or when the store is away.
    pub async fn revoke_certificate(
        &self,
        id: DeviceId,
        serial_number: &str,
        reason: RevocationReason,
        now: Timestamp,
    ) -> Result<RevocationOutcome> {
        let entries = self.device_certificates(id).await?;
        let named = entries.iter().find(|entry| entry.serial_number == serial_number);
        let named = named.ok_or_else(|| {
            OperatorError::Missing(format!("certificate {serial_number} of device {id}"))
        })?;
        let is_compromised = reason == RevocationReason::KeyCompromise;
        if is_compromised {
            // The key first: what is issued for it, is on the ledger when that is read again.
            self.distrust(&named.key_fingerprint, id, now).await?;
        }
        let mut stamped = RevocationOutcome::default();
        for attempt in 0..ATTEMPTS {
            let entries = self.device_certificates(id).await?;
            let mut due: Vec<_> = entries
                .iter()
                .filter(|entry| {
                    entry.serial_number == serial_number
                        || is_compromised && entry.key_fingerprint == named.key_fingerprint
                })
                .filter(|entry| is_due(entry, reason, now))
                .collect();
            if due.is_empty() {
                return Ok(stamped);
            }
            let is_last = due.len() <= ENTRIES_AT_ONCE;
            due.truncate(ENTRIES_AT_ONCE);
            let writes = due.iter().map(|entry| self.stamp(id, entry, reason, now));
            if self.attempt(writes.collect::<Result<_>>()?, attempt).await? {
                stamped.changed = true;
                stamped.certificates += due.len();
                if is_last {
                    return Ok(stamped);
                }
            }
        }
        Err(Error::Contended)
    }

    /// Lets no certificate be issued for a key again.
    async fn distrust(&self, fingerprint: &str, id: DeviceId, now: Timestamp) -> Result<()> {
        for attempt in 0..ATTEMPTS {
            if self.attempt(vec![self.distrust_key(fingerprint, id, now)?], attempt).await? {
                return Ok(());
            }
        }
        Err(Error::Contended)
    }

    /// Takes back a hold: the device becomes what it was before, and so do its certificates. What
    /// was superseded meanwhile does not become good again. Certificates that were on hold before the
    /// device was, stay so; of a device that is not on hold, they are released.
    ///
    /// # Errors
    /// When there is no such device, or it is revoked for good; or when the store is away.
    pub async fn release_hold(&self, id: DeviceId) -> Result<RevocationOutcome> {
        let mut stamped = RevocationOutcome::default();
        for attempt in 0..ATTEMPTS {
            let device = self.standing(id).await?;
            if device.status == DeviceStatus::Revoked {
                return Err(
                    OperatorError::DeviceStatus { device_id: id, status: device.status }.into()
                );
            }
            let entries = self.device_certificates(id).await?;
            let is_held = device.status == DeviceStatus::Held;
            let since = device.revoked_at.filter(|_| is_held);
            let is_due = |entry: &&LedgerEntry| is_on_hold(entry) && entry.revoked_at >= since;
            let mut due: Vec<_> = entries.iter().filter(is_due).collect();
            if due.is_empty() && !is_held {
                return Ok(stamped);
            }
            let is_last = due.len() <= ENTRIES_AT_ONCE;
            due.truncate(ENTRIES_AT_ONCE);
            let mut writes = Vec::new();
            // The device last, so that no crash leaves an active one with certificates on hold.
            if is_held && is_last {
                writes.extend(self.reopen(id, device.held_from)?);
            }
            for entry in &due {
                writes.push(self.unstamp(id, entry)?);
            }
            if self.attempt(writes, attempt).await? {
                stamped.changed = true;
                stamped.certificates += due.len();
                if is_last {
                    return Ok(stamped);
                }
            }
        }
        Err(Error::Contended)
    }

    async fn standing(&self, id: DeviceId) -> Result<DeviceState> {
        let standing = self.get(layout::device(id), META.into()).await?;
        standing.ok_or_else(|| missing(id))
    }

    /// Tries the writes. Returns false if something in them changed meanwhile, after a pause that grows
    /// with `attempt`.
    async fn attempt(&self, writes: Vec<TransactWriteItem>, attempt: u32) -> Result<bool> {
        let Some(cancelled) = self.transact(writes).await? else {
            return Ok(true);
        };
        if let Some(throttled) = cancelled.throttled() {
            return Err(throttled);
        }
        if cancelled.first_failed().is_none() && !cancelled.is_conflict() {
            return Err(self.unavailable(&cancelled.into_error()));
        }
        tokio::time::sleep(Duration::from_millis(5 << attempt.min(6))).await;
        Ok(false)
    }
}

/// When a hold of the device began, or is to: after those of single certificates, by which a release tells them
/// apart, whatever clocks were set to.
fn held_at(device: &DeviceState, entries: &[LedgerEntry], now: Timestamp) -> Timestamp {
    if device.status == DeviceStatus::Held {
        return device.revoked_at.map_or(now, |since| since.max(now));
    }
    let own = entries.iter().filter(|it| is_on_hold(it)).filter_map(|it| it.revoked_at).max();
    own.map_or(now, |own| own.plus(1).max(now))
}

/// Whether revoking for this reason changes the entry: one that is not revoked, or only later, or that
/// was on hold and will not be released any more. What expired is off every CRL anyway.
fn is_due(entry: &LedgerEntry, reason: RevocationReason, now: Timestamp) -> bool {
    let is_hold = reason == RevocationReason::CertificateHold;
    entry.not_after > now
        && match entry.revoked_at {
            None => true,
            Some(_) if is_on_hold(entry) => !is_hold,
            Some(then) => then > now,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_unix(1_000);

    fn entry(revoked: Option<(u64, RevocationReason)>) -> LedgerEntry {
        LedgerEntry {
            serial_number: "40".into(),
            ca: "device".into(),
            key_fingerprint: String::new(),
            tbs_digest: String::new(),
            not_before: NOW.minus(100),
            not_after: NOW.plus(100),
            requested_at: NOW.minus(100),
            withdrawn_at: None,
            superseded_at: None,
            revoked_at: revoked.map(|(time, _)| Timestamp::from_unix(time)),
            revocation_reason: revoked.map(|(_, reason)| reason),
            revoked_at_before_hold: None,
        }
    }

    #[test]
    fn what_is_out_already_is_left_as_it_is() {
        use RevocationReason::{CertificateHold, KeyCompromise, Superseded};
        for (revoked, for_good, on_hold) in [
            (None, true, true),
            (Some((1_001, Superseded)), true, true),
            (Some((1_000, Superseded)), false, false),
            (Some((900, KeyCompromise)), false, false),
            (Some((900, CertificateHold)), true, false),
        ] {
            let entry = entry(revoked);
            assert_eq!(is_due(&entry, KeyCompromise, NOW), for_good, "{revoked:?}");
            assert_eq!(is_due(&entry, CertificateHold, NOW), on_hold, "{revoked:?}");
        }
        assert!(!is_due(&entry(None), KeyCompromise, NOW.plus(100)), "expired");
    }
}
