//! The writes of which the transactions of revocations and releases consist.

use aws_sdk_dynamodb::types::{ConditionCheck, TransactWriteItem, Update, builders::UpdateBuilder};
use pki::{clock::Timestamp, crl::RevocationReason, names::DeviceId};

use crate::{
    error::Result,
    store::{
        certificate::entry::LedgerEntry,
        client::Store,
        device::{standing::DeviceStanding, status::DeviceStatus},
        item::{key, number, string, string_set},
        layout::{self, META},
        write::{condition_write, update_write},
    },
};

/// The condition of a write on the device's live serials, which every issuance changes.
#[derive(Clone, Copy)]
pub(crate) enum LiveSerials {
    /// Nothing was issued since the device was read.
    Unchanged,
    /// No condition.
    Any,
}

impl Store {
    /// Returns the writes that revoke a device or put it on hold, as `target` says, and deny it. From then on
    /// its token does not authenticate.
    pub(crate) fn revoke_device_writes(
        &self,
        id: DeviceId,
        device: &DeviceStanding,
        target: DeviceStatus,
        reason: RevocationReason,
        now: Timestamp,
        live_serials: LiveSerials,
    ) -> Result<[TransactWriteItem; 2]> {
        let mut update = self.device_update_builder(id);
        let mut condition = match device.status {
            Some(_) => "#status = :from".to_owned(),
            None => "attribute_exists(PK)".to_owned(),
        };
        match (live_serials, device.live_serials.as_slice()) {
            (LiveSerials::Any, _) => {}
            (LiveSerials::Unchanged, []) => condition += " AND attribute_not_exists(live_serials)",
            (LiveSerials::Unchanged, seen) => {
                condition += " AND live_serials = :seen";
                let seen = string_set(seen.iter().map(String::as_str));
                update = update.expression_attribute_values(":seen", seen);
            }
        }
        let mut set = "SET #status = :target, revocation_reason = :reason".to_owned();
        if device.revoked_at.is_none() {
            set += ", revoked_at = :now";
            update = update.expression_attribute_values(":now", number(now.unix()));
        }
        if let Some(status) = device.status {
            update = update.expression_attribute_values(":from", string(status.as_str()));
        }
        if target == DeviceStatus::Held && device.status != Some(DeviceStatus::Held) {
            set += ", held_from = :back";
            // Nobody knows whether a device with a damaged status was active.
            let back = device.status.unwrap_or(DeviceStatus::Disabled);
            update = update.expression_attribute_values(":back", string(back.as_str()));
        }
        let revoke = update_write(
            update
                .condition_expression(condition)
                .update_expression(set)
                .expression_attribute_names("#status", "status")
                .expression_attribute_values(":target", string(target.as_str()))
                .expression_attribute_values(":reason", string(reason.as_str())),
        )?;
        Ok([revoke, self.deny_device_write(id, now)?])
    }

    /// Returns the writes that release a device from a hold, to its status before or else to active, and no
    /// longer deny it; on the condition that it is still in the hold that was read.
    pub(crate) fn release_device_writes(
        &self,
        id: DeviceId,
        device: &DeviceStanding,
    ) -> Result<[TransactWriteItem; 2]> {
        let back = device.held_from.unwrap_or(DeviceStatus::Active);
        let mut update = self
            .device_update_builder(id)
            .condition_expression(unchanged(device))
            .update_expression(
                "SET #status = :back REMOVE revocation_reason, revoked_at, held_from",
            )
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(
                ":status",
                string(device.status.map_or("", DeviceStatus::as_str)),
            )
            .expression_attribute_values(":back", string(back.as_str()));
        if let Some(since) = device.revoked_at {
            update = update.expression_attribute_values(":since", number(since.unix()));
        }
        Ok([update_write(update)?, self.undeny_device_write(id)?])
    }

    /// Returns the write that changes nothing, on the condition that the device was neither held, released nor
    /// revoked since it was read.
    pub(crate) fn unchanged_device_write(
        &self,
        id: DeviceId,
        device: &DeviceStanding,
    ) -> Result<TransactWriteItem> {
        let mut check = ConditionCheck::builder()
            .table_name(&self.table)
            .set_key(Some(key(layout::device(id), META.into())))
            .condition_expression(unchanged(device))
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(
                ":status",
                string(device.status.map_or("", DeviceStatus::as_str)),
            );
        if let Some(since) = device.revoked_at {
            check = check.expression_attribute_values(":since", number(since.unix()));
        }
        condition_write(check)
    }

    /// Returns the write that revokes a ledger entry, or puts it on hold if that is the reason.
    pub(crate) fn revoke_entry_write(
        &self,
        id: DeviceId,
        entry: &LedgerEntry,
        reason: RevocationReason,
        now: Timestamp,
    ) -> Result<TransactWriteItem> {
        let is_hold = reason == RevocationReason::CertificateHold;
        let update = self.entry_update_builder(id, entry);
        let update = match entry.revoked_at {
            // The certificate has been on the CRL since the hold: keep that time.
            Some(_) if is_on_hold(entry) => update
                .update_expression("SET revocation_reason = :reason REMOVE revoked_at_before_hold"),
            Some(_) if is_hold => update
                .update_expression(
                    "SET revoked_at_before_hold = revoked_at, revoked_at = :now, \
                     revocation_reason = :reason",
                )
                .expression_attribute_values(":now", number(now.unix())),
            _ => update
                .update_expression("SET revoked_at = :now, revocation_reason = :reason")
                .expression_attribute_values(":now", number(now.unix())),
        };
        update_write(update.expression_attribute_values(":reason", string(reason.as_str())))
    }

    /// Returns the write that releases a ledger entry from a hold.
    pub(crate) fn release_entry_write(
        &self,
        id: DeviceId,
        entry: &LedgerEntry,
    ) -> Result<TransactWriteItem> {
        let update = self.entry_update_builder(id, entry);
        // Superseded before the hold: restore the end of the grace period. Superseded under the hold: there
        // was no grace period to set, so the certificate counts as revoked from that time.
        let then = entry.revoked_at_before_hold.or(entry.superseded_at);
        update_write(match then {
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

    /// Starts an update of a device.
    fn device_update_builder(&self, id: DeviceId) -> UpdateBuilder {
        Update::builder()
            .table_name(&self.table)
            .set_key(Some(key(layout::device(id), META.into())))
    }

    /// Starts an update of a ledger entry, on the condition that it was neither revoked, released nor
    /// superseded since it was read.
    fn entry_update_builder(&self, id: DeviceId, entry: &LedgerEntry) -> UpdateBuilder {
        let update = Update::builder().table_name(&self.table).set_key(Some(key(
            layout::ledger(id),
            layout::certificate_sort_key(&entry.serial_number),
        )));
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
}

/// Returns the condition that a device has the status `:status`, since the time `:since` if it has one. It never
/// holds for a damaged status.
fn unchanged(device: &DeviceStanding) -> &'static str {
    match device.revoked_at {
        Some(_) => "#status = :status AND revoked_at = :since",
        None => "#status = :status AND attribute_not_exists(revoked_at)",
    }
}

/// Returns true if a certificate is on hold.
pub(crate) fn is_on_hold(entry: &LedgerEntry) -> bool {
    entry.revocation_reason == Some(RevocationReason::CertificateHold)
}
