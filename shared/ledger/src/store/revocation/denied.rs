//! The denied devices: those that are revoked or on hold, and those that were deleted since.
//!
//! Each is an item of its own, in a partition that no function may write: a device's own item is in one where
//! `enroll` may put another, and `identity` counts.

use aws_sdk_dynamodb::types::{Delete, TransactWriteItem, Update};
use pki::{clock::Timestamp, names::DeviceId};

use crate::{
    error::{Error, Result},
    store::{
        client::Store,
        item::{Item, key, number, partition_key, string},
        layout::{self, META},
        table::REVOCATIONS,
        write::{incomplete, update_write},
    },
};

/// Their partition in the index `revocations`. No CA has a name like it.
const DENIED: &str = "DENIED";

impl Store {
    /// The devices that are revoked or on hold, sorted.
    ///
    /// # Errors
    /// When the store is away, or an item is damaged.
    pub async fn denied_devices(&self) -> Result<Vec<DeviceId>> {
        let query = self
            .client
            .query()
            .index_name(REVOCATIONS)
            .key_condition_expression("ca = :ca")
            .expression_attribute_values(":ca", string(DENIED));
        let mut devices = self.every_page(query, id).await?;
        devices.sort_unstable();
        devices.dedup();
        Ok(devices)
    }

    /// Denies a device, if it is not denied yet.
    pub(in crate::store) fn deny(&self, id: DeviceId, now: Timestamp) -> Result<TransactWriteItem> {
        update_write(
            Update::builder()
                .table_name(&self.table)
                .set_key(Some(key(layout::denied(id), META.into())))
                .update_expression("SET ca = :denied, revoked_at = if_not_exists(revoked_at, :now)")
                .expression_attribute_values(":denied", string(DENIED))
                .expression_attribute_values(":now", number(now.unix())),
        )
    }

    /// Denies it no longer.
    pub(in crate::store) fn allow(&self, id: DeviceId) -> Result<TransactWriteItem> {
        let delete = Delete::builder()
            .table_name(&self.table)
            .set_key(Some(key(layout::denied(id), META.into())))
            .build();
        Ok(TransactWriteItem::builder().delete(delete.map_err(incomplete)?).build())
    }
}

/// What is elsewhere denies nobody: functions may write there.
fn id(item: Item) -> Result<Option<DeviceId>> {
    let Some(id) = partition_key(&item).strip_prefix(layout::DENIED) else { return Ok(None) };
    match id.parse() {
        Ok(id) => Ok(Some(id)),
        Err(_) => Err(Error::Incomplete(format!("DENIED#{id}: not a device id"))),
    }
}
