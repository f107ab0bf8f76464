//! The writes of which the transactions of revocations and releases consist.

use aws_sdk_dynamodb::types::{ConditionCheck, TransactWriteItem, Update, builders::UpdateBuilder};
use pki::{clock::Timestamp, crl::RevocationReason, names::DeviceId};

use crate::{
    error::Result,
    store::{
        certificate::entry::LedgerEntry,
        client::Store,
        condition::{Unchanged, unchanged},
        device::{standing::DeviceStanding, status::DeviceStatus},
        item::{key, number, string, to_item},
        layout::{self, META},
        revocation::rules::target,
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
    /// Returns the writes that revoke a device, or put it on hold if that is the reason, and deny it. From then on
    /// its token does not authenticate.
    pub(crate) fn revoke_device_writes(
        &self,
        id: DeviceId,
        device: &DeviceStanding,
        reason: RevocationReason,
        now: Timestamp,
        live_serials: LiveSerials,
    ) -> Result<[TransactWriteItem; 2]> {
        let target = target(reason);
        let Unchanged { condition, names, mut values } = match live_serials {
            LiveSerials::Any => unchanged(&device.item, &["status", "status_changes"]),
            LiveSerials::Unchanged => {
                unchanged(&device.item, &["status", "status_changes", "live_serials"])
            }
        };
        let mut set =
            "SET #status = :target, #status_changes = :count, revocation_reason = :reason"
                .to_owned();
        let is_dated = device.revoked_at.is_some()
            && matches!(device.status, Some(DeviceStatus::Held | DeviceStatus::Revoked));
        if !is_dated {
            set += ", revoked_at = :now";
            values.insert(":now".into(), number(now.unix()));
        }
        if target == DeviceStatus::Held && device.status != Some(DeviceStatus::Held) {
            set += ", held_from = :back";
            // Nobody knows whether a device with a damaged status was active.
            let back = device.status.unwrap_or(DeviceStatus::Disabled);
            values.insert(":back".into(), string(back.as_str()));
        }
        let update = self
            .device_update_builder(id)
            .condition_expression(condition)
            .update_expression(set)
            .set_expression_attribute_names(Some(names))
            .set_expression_attribute_values(Some(values))
            .expression_attribute_values(":target", string(target.as_str()))
            .expression_attribute_values(":count", device.next_count())
            .expression_attribute_values(":reason", string(reason.as_str()));
        Ok([update_write(update)?, self.deny_device_write(id, now)?])
    }

    /// Returns the writes that release a device from a hold, to its status before, and no longer deny it; on the
    /// condition that it is still in the hold that was read. If nobody knows its status before, it is disabled then.
    pub(crate) fn release_device_writes(
        &self,
        id: DeviceId,
        device: &DeviceStanding,
    ) -> Result<[TransactWriteItem; 2]> {
        let back = device.held_from.unwrap_or(DeviceStatus::Disabled);
        let seen = device.unchanged();
        let update = self
            .device_update_builder(id)
            .condition_expression(seen.condition)
            .update_expression(
                "SET #status = :back, #status_changes = :count \
                 REMOVE revocation_reason, revoked_at, held_from",
            )
            .set_expression_attribute_names(Some(seen.names))
            .set_expression_attribute_values(Some(seen.values))
            .expression_attribute_values(":count", device.next_count())
            .expression_attribute_values(":back", string(back.as_str()));
        Ok([update_write(update)?, self.undeny_device_write(id)?])
    }

    /// Returns the write that changes nothing, on the condition that the device was neither held, released nor
    /// revoked since it was read.
    pub(crate) fn unchanged_device_write(
        &self,
        id: DeviceId,
        device: &DeviceStanding,
    ) -> Result<TransactWriteItem> {
        let seen = device.unchanged();
        condition_write(
            ConditionCheck::builder()
                .table_name(&self.table)
                .set_key(Some(key(layout::device(id), META.into())))
                .condition_expression(seen.condition)
                .set_expression_attribute_names(Some(seen.names))
                .set_expression_attribute_values(Some(seen.values)),
        )
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
        let update = self.entry_update_builder(id, entry)?;
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
        let update = self.entry_update_builder(id, entry)?;
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
    fn entry_update_builder(&self, id: DeviceId, entry: &LedgerEntry) -> Result<UpdateBuilder> {
        let update = Update::builder().table_name(&self.table).set_key(Some(key(
            layout::ledger(id),
            layout::certificate_sort_key(&entry.serial_number),
        )));
        let item = to_item(layout::ledger(id), String::new(), entry)?;
        let seen = unchanged(&item, &["revoked_at", "superseded_at", "revocation_reason"]);
        Ok(update
            .condition_expression(seen.condition)
            .set_expression_attribute_names(Some(seen.names))
            .set_expression_attribute_values(Some(seen.values)))
    }
}

/// Returns true if a certificate is on hold.
pub(crate) fn is_on_hold(entry: &LedgerEntry) -> bool {
    entry.revocation_reason == Some(RevocationReason::CertificateHold)
}
