//! A project's devices, page by page, so that a list of any length takes no more memory than one.

use crate::error::Result;
use crate::store::{
    client::Store,
    device::record::{DeviceRecord, inventory},
    item::{key, number, record, string},
    layout::{self, META},
    table::INVENTORY,
};
use pki::{
    clock::Timestamp,
    names::{DeviceId, ProjectId},
};

/// Which of a project's devices, and in which order: what the index answers without reading more.
#[derive(Clone, Debug, Default)]
pub struct DeviceQuery {
    /// Those that enrolled at this time or after it.
    pub created_after: Option<Timestamp>,
    /// Those that enrolled before this time.
    pub created_before: Option<Timestamp>,
    /// The newest first, instead of the oldest.
    pub newest_first: bool,
}

/// Some devices, and where they end.
#[derive(Debug)]
pub struct DevicePage {
    /// The devices.
    pub devices: Vec<DeviceRecord>,
    /// Where the next page begins, if there may be one.
    pub next: Option<Position>,
}

/// A place in the list of a project's devices: right behind this one, whether or not it is there
/// still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// When it enrolled.
    pub created_at: Timestamp,
    /// The device.
    pub device_id: DeviceId,
}

impl Store {
    /// A page of a project's devices: one answer of DynamoDB, of a megabyte or `limit` devices at
    /// most. The list is the index's, which is behind the table by a moment.
    ///
    /// # Errors
    /// When the store is away.
    pub async fn device_page(
        &self,
        project: ProjectId,
        query: &DeviceQuery,
        after: Option<Position>,
        limit: Option<i32>,
    ) -> Result<DevicePage> {
        let first = query.created_after.unwrap_or(Timestamp::from_unix(0));
        let last = query.created_before.map_or(Timestamp::NEVER, |end| end.minus(1));
        // DynamoDB calls it an error where no time is in between.
        if first > last || query.created_before == Some(Timestamp::from_unix(0)) {
            return Ok(DevicePage { devices: Vec::new(), next: None });
        }
        let start = after.map(|Position { created_at, device_id }| {
            let mut start = key(layout::device(device_id), META.into());
            start.insert("inventory".into(), string(inventory(project)));
            start.insert("created_at".into(), number(created_at.unix()));
            start
        });
        let page = self
            .client
            .query()
            .table_name(&self.table)
            .index_name(INVENTORY)
            .key_condition_expression(
                "inventory = :partition AND created_at BETWEEN :first AND :last",
            )
            .expression_attribute_values(":partition", string(inventory(project)))
            .expression_attribute_values(":first", number(first.unix()))
            .expression_attribute_values(":last", number(last.unix()))
            .scan_index_forward(!query.newest_first)
            .set_limit(limit)
            .set_exclusive_start_key(start)
            .send()
            .await
            .map_err(|error| self.unavailable(&error))?;
        let is_last = page.last_evaluated_key.is_none();
        let devices = page.items.unwrap_or_default().into_iter().map(record);
        let devices: Vec<DeviceRecord> = devices.collect::<Result<_>>()?;
        // Nothing is filtered by DynamoDB, so that a page ends with the last device that it has.
        let next = devices
            .last()
            .filter(|_| !is_last)
            .map(|device| Position { created_at: device.created_at, device_id: device.device_id });
        Ok(DevicePage { devices, next })
    }
}
