//! The single writes that revocations are made of.

use aws_sdk_dynamodb::types::{TransactWriteItem, Update, builders::UpdateBuilder};
use pki::{clock::Timestamp, crl::RevocationReason, names::DeviceId};

use crate::{
    error::Result,
    store::{
        certificate::entry::LedgerEntry,
        client::Store,
        device::record::{DeviceState, DeviceStatus},
        item::{key, number, string, strings},
        layout::{self, META},
        write::update_write,
    },
};

/// What a device may have been issued since it was read, for a write to be carried out.
#[derive(Clone, Copy)]
pub(in crate::store) enum Issued {
    NothingSince,
    Anything,
}

impl Store {
    /// The device's part: no token of it counts any more, and it is denied.
    pub(in crate::store) fn close(
        &self,
        id: DeviceId,
        device: &DeviceState,
        target: DeviceStatus,
        reason: RevocationReason,
        now: Timestamp,
        issued: Issued,
    ) -> Result<[TransactWriteItem; 2]> {
        let mut update = self.device_part(id);
        let mut condition = "#status = :from".to_owned();
        // Each issuance makes another serial the live one.
        match (issued, device.live_serials.as_slice()) {
            (Issued::Anything, _) => {}
            (Issued::NothingSince, []) => condition += " AND attribute_not_exists(live_serials)",
            (Issued::NothingSince, seen) => {
                condition += " AND live_serials = :seen";
                let seen = strings(seen.iter().map(String::as_str));
                update = update.expression_attribute_values(":seen", seen);
            }
        }
        let mut set = "SET #status = :target, revocation_reason = :reason, \
                       revoked_at = if_not_exists(revoked_at, :now)"
            .to_owned();
        if target == DeviceStatus::Held && device.status != DeviceStatus::Held {
            set += ", held_from = :from";
        }
        let close = update_write(
            update
                .condition_expression(condition)
                .update_expression(set)
                .expression_attribute_names("#status", "status")
                .expression_attribute_values(":from", string(device.status.as_str()))
                .expression_attribute_values(":target", string(target.as_str()))
                .expression_attribute_values(":reason", string(reason.as_str()))
                .expression_attribute_values(":now", number(now.unix())),
        )?;
        Ok([close, self.deny(id, now)?])
    }

    pub(in crate::store) fn reopen(
        &self,
        id: DeviceId,
        back: Option<DeviceStatus>,
    ) -> Result<[TransactWriteItem; 2]> {
        let back = back.unwrap_or(DeviceStatus::Active);
        let reopen = update_write(
            self.device_part(id)
                .condition_expression("#status = :held")
                .update_expression(
                    "SET #status = :back REMOVE revocation_reason, revoked_at, held_from",
                )
                .expression_attribute_names("#status", "status")
                .expression_attribute_values(":held", string(DeviceStatus::Held.as_str()))
                .expression_attribute_values(":back", string(back.as_str())),
        )?;
        Ok([reopen, self.allow(id)?])
    }

    pub(in crate::store) fn stamp(
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
        update_write(update.expression_attribute_values(":reason", string(reason.as_str())))
    }

    pub(in crate::store) fn unstamp(
        &self,
        id: DeviceId,
        entry: &LedgerEntry,
    ) -> Result<TransactWriteItem> {
        let update = self.entry_part(id, entry);
        // Superseded before the hold, or under it: then its grace was over when it began.
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

    fn device_part(&self, id: DeviceId) -> UpdateBuilder {
        Update::builder()
            .table_name(&self.table)
            .set_key(Some(key(layout::device(id), META.into())))
    }

    /// An entry's part, provided that nobody else stamped or superseded it since it was read.
    fn entry_part(&self, id: DeviceId, entry: &LedgerEntry) -> UpdateBuilder {
        let update = Update::builder()
            .table_name(&self.table)
            .set_key(Some(key(layout::ledger(id), layout::certificate_sort(&entry.serial_number))));
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

pub(in crate::store) fn is_on_hold(entry: &LedgerEntry) -> bool {
    entry.revocation_reason == Some(RevocationReason::CertificateHold)
}
