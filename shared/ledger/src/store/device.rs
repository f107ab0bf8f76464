//! Devices, and the keys that were certified for them.

pub(super) mod changes;
pub(super) mod key;
pub(super) mod page;
pub(super) mod record;
pub(super) mod standing;
pub(super) mod status;

pub use key::KeyRecord;
pub use page::{DeviceCursor, DevicePage, DeviceQuery};
pub use record::{DeviceDetails, DeviceRecord};
pub use status::DeviceStatus;
