//! Devices, and the keys that were certified for them.

pub(in crate::store) mod key;
pub(in crate::store) mod page;
pub(in crate::store) mod record;
pub(in crate::store) mod upkeep;

pub use key::KeyRecord;
pub use page::{DevicePage, DeviceQuery, Position};
pub use record::{DeviceDetails, DeviceRecord, DeviceStatus};
