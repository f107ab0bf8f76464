//! The denied devices: those that are revoked or on hold, including those that were deleted since.
//!
//! Each is an item in a partition of its own that no function may write. The device's own partition would not
//! do: `enroll` and `identity` write there.

use aws_sdk_dynamodb::types::{AttributeValue, Delete, TransactWriteItem, Update};
use pki::{clock::Timestamp, names::DeviceId};

use crate::{
    error::{Error, Result},
    store::{
        client::Store,
        item::{Item, key, number, partition_key, string},
        layout::{self, META},
        read::Reading,
        table::REVOCATIONS,
        write::{incomplete, update_write},
    },
};

/// Partition of denied devices in the index `revocations`. No CA can have this name.
const DENIED: &str = "DENIED";

impl Store {
    /// Returns the denied devices that the index has, sorted.
    ///
    /// # Errors
    /// If DynamoDB is unavailable.
    pub async fn denied_devices(&self) -> Result<Reading<DeviceId>> {
        let query = self
            .client
            .query()
            .index_name(REVOCATIONS)
            .key_condition_expression("ca = :ca")
            .expression_attribute_values(":ca", string(DENIED));
        let mut devices = Reading::new();
        self.visit_pages(query, |item| {
            if let Some(id) = id(&item) {
                devices.add(id);
            }
        })
        .await?;
        devices.records.sort_unstable();
        devices.records.dedup();
        Ok(devices)
    }

    /// Returns true if a device is denied, strongly consistent. A damaged item denies it, too.
    ///
    /// # Errors
    /// If DynamoDB is unavailable.
    pub async fn is_denied(&self, id: DeviceId) -> Result<bool> {
        Ok(self.get_item(layout::denied(id), META.into()).await?.is_some())
    }

    /// Returns true if the item that denies a device is missing or damaged, so that the index lacks it.
    pub(crate) async fn is_denial_lost(&self, id: DeviceId) -> Result<bool> {
        let item = self.get_item(layout::denied(id), META.into()).await?.unwrap_or_default();
        let is_dated = item.get("revoked_at").is_some_and(AttributeValue::is_n);
        Ok(!is_dated || item.get("ca") != Some(&string(DENIED)))
    }

    /// Returns the write that puts a lost or damaged denial in order.
    pub(crate) fn restore_denial_write(
        &self,
        id: DeviceId,
        now: Timestamp,
    ) -> Result<TransactWriteItem> {
        self.denial_write(id, "SET ca = :denied, revoked_at = :now", now)
    }

    /// Returns the write that denies a device. A device that is denied already stays so.
    pub(crate) fn deny_device_write(
        &self,
        id: DeviceId,
        now: Timestamp,
    ) -> Result<TransactWriteItem> {
        let expression = "SET ca = :denied, revoked_at = if_not_exists(revoked_at, :now)";
        self.denial_write(id, expression, now)
    }

    fn denial_write(
        &self,
        id: DeviceId,
        expression: &str,
        now: Timestamp,
    ) -> Result<TransactWriteItem> {
        update_write(
            Update::builder()
                .table_name(&self.table)
                .set_key(Some(key(layout::denied(id), META.into())))
                .update_expression(expression)
                .expression_attribute_values(":denied", string(DENIED))
                .expression_attribute_values(":now", number(now.unix())),
        )
    }

    /// Returns the write that no longer denies a device.
    pub(crate) fn undeny_device_write(&self, id: DeviceId) -> Result<TransactWriteItem> {
        let delete = Delete::builder()
            .table_name(&self.table)
            .set_key(Some(key(layout::denied(id), META.into())))
            .build();
        Ok(TransactWriteItem::builder().delete(delete.map_err(incomplete)?).build())
    }
}

/// Returns the device that an item denies. An item in another partition denies none, because a function may
/// have forged it.
fn id(item: &Item) -> Option<Result<DeviceId>> {
    let id = partition_key(item).strip_prefix(layout::DENIED)?;
    Some(id.parse().map_err(|error| Error::Damaged(format!("{}{id}: {error}", layout::DENIED))))
}
