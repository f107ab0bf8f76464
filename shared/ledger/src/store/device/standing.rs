//! What an operator's command must know of a device before it revokes, holds or releases it.

use pki::{clock::Timestamp, names::DeviceId};

use crate::{
    error::Result,
    store::{
        client::Store,
        device::{changes::missing, status::DeviceStatus},
        item::{Item, attribute, required},
        layout::{self, META},
    },
};

/// The attributes of a device that its revocation reads and changes.
pub(crate) struct DeviceStanding {
    /// The status; none if it is damaged.
    pub(crate) status: Option<DeviceStatus>,
    /// Serial numbers of the certificates that are neither superseded nor withdrawn.
    pub(crate) live_serials: Vec<String>,
    /// Time at which the device was revoked or put on hold.
    pub(crate) revoked_at: Option<Timestamp>,
    /// Status before the hold.
    pub(crate) held_from: Option<DeviceStatus>,
}

impl DeviceStanding {
    /// Reads all that is intact: no damage is to keep a device in.
    fn salvage(item: &Item) -> Self {
        Self {
            status: attribute(item, "status").ok().flatten(),
            live_serials: attribute(item, "live_serials").ok().flatten().unwrap_or_default(),
            revoked_at: attribute(item, "revoked_at").ok().flatten(),
            held_from: attribute(item, "held_from").ok().flatten(),
        }
    }

    /// Reads the attributes.
    fn read(item: &Item) -> Result<Self> {
        Ok(Self {
            status: Some(status(item)?),
            live_serials: attribute(item, "live_serials")?.unwrap_or_default(),
            revoked_at: attribute(item, "revoked_at")?,
            held_from: attribute(item, "held_from")?,
        })
    }
}

/// Returns the status of a device.
///
/// # Errors
/// If it is damaged.
pub(crate) fn status(item: &Item) -> Result<DeviceStatus> {
    required(item, "status")
}

impl Store {
    /// Reads the standing of a device that is to be released.
    ///
    /// # Errors
    /// If the device does not exist or is damaged, or DynamoDB is unavailable.
    pub(crate) async fn device_standing(&self, id: DeviceId) -> Result<DeviceStanding> {
        DeviceStanding::read(&self.device_item(id).await?)
    }

    /// Reads the standing of a device that is to be revoked, as far as it is intact.
    ///
    /// # Errors
    /// If the device does not exist, or DynamoDB is unavailable.
    pub(crate) async fn salvaged_standing(&self, id: DeviceId) -> Result<DeviceStanding> {
        self.device_item(id).await.map(|item| DeviceStanding::salvage(&item))
    }

    /// Reads the item of a device that must exist.
    async fn device_item(&self, id: DeviceId) -> Result<Item> {
        let item = self.get_item(layout::device(id), META.into()).await?;
        item.ok_or_else(|| missing(id))
    }
}
