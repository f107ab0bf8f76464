//! Revocation on the ledger.
//!
//! The index `revocations` has every entry with a `revoked_at`, by CA and by that time: what of a CA
//! counts as revoked at some moment is one query, superseded certificates included, whose time is set
//! ahead by the write that supersedes them.

use std::time::Duration;

use aws_sdk_dynamodb::{
    operation::transact_write_items::TransactWriteItemsError,
    types::{CancellationReason, TransactWriteItem, Update, builders::UpdateBuilder},
};

use super::{
    DeviceStatus, LedgerEntry, META, Store,
    device::{self, Standing},
    key, ledger, number, string,
    upkeep::missing,
};
use crate::{
    aws::is_throttling,
    clock::Timestamp,
    error::{Error, Result, Service},
    id::DeviceId,
    revocation::RevocationReason,
};

const ATTEMPTS: u32 = 20;
/// A device that keeps asking may be issued a certificate in each round. After so many it is closed
/// first, in a write that cannot lose against that.
const ROUNDS_IN_ONE_WRITE: u32 = 2;
/// A transaction has 100 items at most, of which the device is one.
const ENTRIES_AT_ONCE: usize = 99;

/// What a revocation or a release changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamped {
    /// Whether anything was changed, on the device or its ledger.
    pub changed: bool,
    /// How many certificates were.
    pub certificates: usize,
}

/// What a device may have been issued since it was read, for a write to be carried out.
#[derive(Clone, Copy)]
enum Issued {
    NothingSince,
    Anything,
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
    ) -> Result<Stamped> {
        let target = match reason {
            RevocationReason::CertificateHold => DeviceStatus::Held,
            _ => DeviceStatus::Revoked,
        };
        let mut stamped = Stamped::default();
        for attempt in 0..ATTEMPTS {
            // The device first: what is issued after this changes its live serials, and the
            // transaction below fails. What was issued before is in the entries read next.
            let device = self.standing(id).await?;
            if device.status == DeviceStatus::Revoked && target == DeviceStatus::Held {
                return Err(Error::DeviceStatus { device_id: id, status: device.status });
            }
            if attempt >= ROUNDS_IN_ONE_WRITE && device.status != target {
                let close = self.close(id, &device, target, reason, now, Issued::Anything)?;
                stamped.changed |= self.transact(vec![close], attempt).await?;
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
            let mut writes =
                vec![self.close(id, &device, target, reason, now, Issued::NothingSince)?];
            for entry in &due {
                writes.push(self.stamp(id, entry, reason, now)?);
            }
            if self.transact(writes, attempt).await? {
                stamped.changed = true;
                stamped.certificates += due.len();
                if is_last {
                    return Ok(stamped);
                }
            }
        }
        Err(Error::Contended)
    }

    /// Revokes one certificate of a device, or puts it on hold. The device may ask for another.
    ///
    /// # Errors
    /// When there is no such certificate; or when the store is away.
    pub async fn revoke_certificate(
        &self,
        id: DeviceId,
        serial_number: &str,
        reason: RevocationReason,
        now: Timestamp,
    ) -> Result<Stamped> {
        for attempt in 0..ATTEMPTS {
            let entries = self.device_certificates(id).await?;
            let entry = entries.iter().find(|entry| entry.serial_number == serial_number);
            let entry = entry.ok_or_else(|| {
                Error::Missing(format!("certificate {serial_number} of device {id}"))
            })?;
            if !is_due(entry, reason, now) {
                return Ok(Stamped::default());
            }
            if self.transact(vec![self.stamp(id, entry, reason, now)?], attempt).await? {
                return Ok(Stamped { changed: true, certificates: 1 });
            }
        }
        Err(Error::Contended)
    }

    /// Takes back a hold: the device becomes what it was before, and so do its certificates. What
    /// was superseded meanwhile does not become good again.
    ///
    /// # Errors
    /// When there is no such device, or it is revoked for good; or when the store is away.
    pub async fn release_hold(&self, id: DeviceId) -> Result<Stamped> {
        let mut stamped = Stamped::default();
        for attempt in 0..ATTEMPTS {
            let device = self.standing(id).await?;
            if device.status == DeviceStatus::Revoked {
                return Err(Error::DeviceStatus { device_id: id, status: device.status });
            }
            let entries = self.device_certificates(id).await?;
            let mut due: Vec<_> = entries.iter().filter(|entry| is_on_hold(entry)).collect();
            let is_held = device.status == DeviceStatus::Held;
            if due.is_empty() && !is_held {
                return Ok(stamped);
            }
            let is_last = due.len() <= ENTRIES_AT_ONCE;
            due.truncate(ENTRIES_AT_ONCE);
            let mut writes = Vec::new();
            // The device last, so that no crash leaves an active one with certificates on hold.
            if is_held && is_last {
                writes.push(self.reopen(id, device.held_from)?);
            }
            for entry in &due {
                writes.push(self.unstamp(id, entry)?);
            }
            if self.transact(writes, attempt).await? {
                stamped.changed = true;
                stamped.certificates += due.len();
                if is_last {
                    return Ok(stamped);
                }
            }
        }
        Err(Error::Contended)
    }

    async fn standing(&self, id: DeviceId) -> Result<Standing> {
        let standing = self.get(device::partition(id), META.into()).await?;
        standing.ok_or_else(|| missing(id))
    }

    /// The device's part: no token of it counts any more.
    fn close(
        &self,
        id: DeviceId,
        device: &Standing,
        target: DeviceStatus,
        reason: RevocationReason,
        now: Timestamp,
        issued: Issued,
    ) -> Result<TransactWriteItem> {
        let mut update = self.device_part(id);
        let mut condition = "#status = :from".to_owned();
        // Each issuance makes another serial the live one.
        match (issued, device.live_serials.as_slice()) {
            (Issued::Anything, _) => {}
            (Issued::NothingSince, []) => condition += " AND attribute_not_exists(live_serials)",
            (Issued::NothingSince, seen) => {
                condition += " AND live_serials = :seen";
                let seen = ledger::strings(seen.iter().map(String::as_str));
                update = update.expression_attribute_values(":seen", seen);
            }
        }
        let mut set = "SET #status = :target, revocation_reason = :reason, \
                       revoked_at = if_not_exists(revoked_at, :now)"
            .to_owned();
        if target == DeviceStatus::Held && device.status != DeviceStatus::Held {
            set += ", held_from = :from";
        }
        ledger::write(
            update
                .condition_expression(condition)
                .update_expression(set)
                .expression_attribute_names("#status", "status")
                .expression_attribute_values(":from", string(device.status.as_str()))
                .expression_attribute_values(":target", string(target.as_str()))
                .expression_attribute_values(":reason", string(reason.as_str()))
                .expression_attribute_values(":now", number(now.unix())),
        )
    }

    fn reopen(&self, id: DeviceId, back: Option<DeviceStatus>) -> Result<TransactWriteItem> {
        let back = back.unwrap_or(DeviceStatus::Active);
        ledger::write(
            self.device_part(id)
                .condition_expression("#status = :held")
                .update_expression(
                    "SET #status = :back REMOVE revocation_reason, revoked_at, held_from",
                )
                .expression_attribute_names("#status", "status")
                .expression_attribute_values(":held", string(DeviceStatus::Held.as_str()))
                .expression_attribute_values(":back", string(back.as_str())),
        )
    }

    fn stamp(
        &self,
        id: DeviceId,
        entry: &LedgerEntry,
        reason: RevocationReason,
        now: Timestamp,
    ) -> Result<TransactWriteItem> {
        let is_hold = reason == RevocationReason::CertificateHold;
        let update = self.entry_part(id, entry);
        let update = match entry.revoked_at {
            // It is out since it was put on hold.
            Some(_) if is_on_hold(entry) => update
                .update_expression("SET revocation_reason = :reason REMOVE revoked_at_before_hold"),
            Some(_) if is_hold => update.update_expression(
                "SET revoked_at_before_hold = revoked_at, revoked_at = :now, \
                 revocation_reason = :reason",
            ),
            _ => update.update_expression("SET revoked_at = :now, revocation_reason = :reason"),
        };
        let update = if is_on_hold(entry) {
            update
        } else {
            update.expression_attribute_values(":now", number(now.unix()))
        };
        ledger::write(update.expression_attribute_values(":reason", string(reason.as_str())))
    }

    fn unstamp(&self, id: DeviceId, entry: &LedgerEntry) -> Result<TransactWriteItem> {
        let update = self.entry_part(id, entry);
        // Superseded before the hold, or under it: then its grace was over when it began.
        let then = entry.revoked_at_before_hold.or(entry.superseded_at);
        ledger::write(match then {
            None => update.update_expression("REMOVE revoked_at, revocation_reason"),
            Some(then) => update
                .update_expression(
                    "SET revoked_at = :then, revocation_reason = :superseded \
                     REMOVE revoked_at_before_hold",
                )
                .expression_attribute_values(":then", number(then.unix()))
                .expression_attribute_values(
                    ":superseded",
                    string(RevocationReason::Superseded.as_str()),
                ),
        })
    }

    fn device_part(&self, id: DeviceId) -> UpdateBuilder {
        Update::builder()
            .table_name(&self.table)
            .set_key(Some(key(device::partition(id), META.into())))
    }

    /// An entry's part, provided that nobody else stamped or superseded it since it was read.
    fn entry_part(&self, id: DeviceId, entry: &LedgerEntry) -> UpdateBuilder {
        let update = Update::builder()
            .table_name(&self.table)
            .set_key(Some(key(device::partition(id), ledger::sort(&entry.serial_number))));
        let (mut conditions, mut values) = (vec!["attribute_exists(PK)".to_owned()], Vec::new());
        for (name, seen) in [
            ("revoked_at", entry.revoked_at.map(|time| number(time.unix()))),
            ("superseded_at", entry.superseded_at.map(|time| number(time.unix()))),
            ("revocation_reason", entry.revocation_reason.map(|reason| string(reason.as_str()))),
        ] {
            match seen {
                None => conditions.push(format!("attribute_not_exists({name})")),
                Some(seen) => {
                    conditions.push(format!("{name} = :seen_{name}"));
                    values.push((format!(":seen_{name}"), seen));
                }
            }
        }
        values
            .into_iter()
            .fold(update.condition_expression(conditions.join(" AND ")), |update, (name, value)| {
                update.expression_attribute_values(name, value)
            })
    }

    /// Whether the writes were carried out; if not, something in them changed meanwhile.
    async fn transact(&self, writes: Vec<TransactWriteItem>, attempt: u32) -> Result<bool> {
        let answer =
            self.client.transact_write_items().set_transact_items(Some(writes)).send().await;
        let Err(error) = answer else {
            return Ok(true);
        };
        let reasons = match error.as_service_error() {
            Some(TransactWriteItemsError::TransactionCanceledException(it)) => {
                it.cancellation_reasons()
            }
            _ => return Err(self.unavailable(&error)),
        };
        let mut codes = reasons.iter().filter_map(CancellationReason::code);
        if codes.clone().any(is_throttling) {
            let cause = "the transaction was cancelled for throttling".into();
            return Err(Error::Throttled { service: Service::DynamoDb, cause });
        }
        if !codes.any(|code| matches!(code, "ConditionalCheckFailed" | "TransactionConflict")) {
            return Err(self.unavailable(&error));
        }
        tokio::time::sleep(Duration::from_millis(5 << attempt.min(6))).await;
        Ok(false)
    }
}

fn is_on_hold(entry: &LedgerEntry) -> bool {
    entry.revocation_reason == Some(RevocationReason::CertificateHold)
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
