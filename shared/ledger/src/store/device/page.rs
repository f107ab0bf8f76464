//! Paginated lists of a project's devices, in bounded memory.

use pki::{
    clock::Timestamp,
    names::{DeviceId, ProjectId},
};

use crate::{
    error::Result,
    store::{
        client::Store,
        device::record::{DeviceRecord, inventory_partition},
        item::{Item, from_item, key, number, partition_key, string},
        layout::{self, META},
        table::INVENTORY,
    },
};

/// A filter and order for a list of devices, limited to what the index can answer by itself.
#[derive(Clone, Debug, Default)]
pub struct DeviceQuery {
    /// Lists only devices that enrolled at this time or later.
    pub created_after: Option<Timestamp>,
    /// Lists only devices that enrolled before this time.
    pub created_before: Option<Timestamp>,
    /// Lists the newest devices first, instead of the oldest.
    pub newest_first: bool,
}

/// One page of a list of devices.
#[derive(Debug)]
pub struct DevicePage {
    /// The devices.
    pub devices: Vec<DeviceRecord>,
    /// Cursor for the next page, if there may be one.
    pub next: Option<DeviceCursor>,
}

/// A position in a list of devices: directly after this device, which need not exist any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceCursor {
    /// Time at which the device enrolled.
    pub created_at: Timestamp,
    /// The device.
    pub device_id: DeviceId,
}

impl Store {
    /// Returns one page of a project's devices, of at most a megabyte or `limit` devices. The index behind
    /// it is eventually consistent.
    ///
    /// # Errors
    /// If DynamoDB is unavailable.
    pub async fn device_page(
        &self,
        project: ProjectId,
        query: &DeviceQuery,
        after: Option<DeviceCursor>,
        limit: Option<i32>,
    ) -> Result<DevicePage> {
        let first = query.created_after.unwrap_or(Timestamp::from_unix(0));
        let last = query.created_before.map_or(Timestamp::NEVER, |end| end.minus(1));
        // DynamoDB refuses an empty range.
        if first > last || query.created_before == Some(Timestamp::from_unix(0)) {
            return Ok(DevicePage { devices: Vec::new(), next: None });
        }
        let mut start = after.map(|DeviceCursor { created_at, device_id }| {
            let mut start = key(layout::device(device_id), META.into());
            start.insert("inventory".into(), string(inventory_partition(project)));
            start.insert("created_at".into(), number(created_at.unix()));
            start
        });
        loop {
            let page = self
                .client
                .query()
                .table_name(&self.table)
                .index_name(INVENTORY)
                .key_condition_expression(
                    "inventory = :partition AND created_at BETWEEN :first AND :last",
                )
                .expression_attribute_values(":partition", string(inventory_partition(project)))
                .expression_attribute_values(":first", number(first.unix()))
                .expression_attribute_values(":last", number(last.unix()))
                .scan_index_forward(!query.newest_first)
                .set_limit(limit)
                .set_exclusive_start_key(start)
                .send()
                .await
                .map_err(|error| self.unavailable(&error))?;
            start = page.last_evaluated_key;
            // An item elsewhere may be forged, and contain anything.
            let is_device = |item: &Item| partition_key(item).starts_with(layout::DEVICE);
            let items = page.items.unwrap_or_default().into_iter().filter(is_device);
            let devices = items.map(from_item).collect::<Result<Vec<DeviceRecord>>>()?;
            if devices.is_empty() && start.is_some() {
                continue;
            }
            // The next page begins after the last device. What was left out there is left out again.
            let next = devices.last().filter(|_| start.is_some()).map(|device| DeviceCursor {
                created_at: device.created_at,
                device_id: device.device_id,
            });
            return Ok(DevicePage { devices, next });
        }
    }
}
