//! The attributes of a device that commands read before they revoke it, put it on hold or release it.

use aws_sdk_dynamodb::types::AttributeValue;
use pki::{clock::Timestamp, crl::RevocationReason, names::DeviceId};

use crate::{
    error::{Error, OperatorError, Result},
    store::{
        client::Store,
        condition::{Unchanged, unchanged},
        device::status::DeviceStatus,
        item::{Item, attribute, number, partition_key, required},
        layout::{self, META},
    },
};

/// The attributes of a device that its revocation reads and changes.
pub(crate) struct DeviceStanding {
    /// The status; none if it is damaged.
    pub(crate) status: Option<DeviceStatus>,
    /// Reason for which the device was revoked or put on hold.
    reason: Option<RevocationReason>,
    /// Time at which the device was revoked or put on hold.
    pub(crate) revoked_at: Option<Timestamp>,
    /// Status before the hold.
    pub(crate) held_from: Option<DeviceStatus>,
    /// The number of changes of the status by operators.
    status_changes: u64,
    /// The item as it was read, on which the writes are conditioned.
    pub(crate) item: Item,
}

impl DeviceStanding {
    /// Reads all that is intact: no damage is to keep a device in.
    fn salvage(item: Item) -> Self {
        Self {
            status: attribute(&item, "status").ok().flatten(),
            reason: attribute(&item, "revocation_reason").ok().flatten(),
            revoked_at: attribute(&item, "revoked_at").ok().flatten(),
            held_from: attribute(&item, "held_from").ok().flatten(),
            status_changes: attribute(&item, "status_changes").ok().flatten().unwrap_or_default(),
            item,
        }
    }

    /// Checks that a hold, if that is the reason, would not replace a revocation: its release would take that back.
    ///
    /// # Errors
    /// If the device is revoked, or its attributes do not agree on that.
    pub(crate) fn expect_not_revoked_for(
        &self,
        reason: RevocationReason,
        id: DeviceId,
    ) -> Result<()> {
        if reason != RevocationReason::CertificateHold {
            return Ok(());
        }
        if self.status == Some(DeviceStatus::Revoked) {
            let status = DeviceStatus::Revoked;
            return Err(OperatorError::DeviceStatus { device_id: id, status }.into());
        }
        let has = |name| self.item.contains_key(name);
        let is_held = self.reason == Some(RevocationReason::CertificateHold);
        if (has("revoked_at") || has("revocation_reason")) && !is_held {
            return Err(Error::Damaged(format!(
                "device {id} may be revoked, although its status says otherwise: it can only be revoked"
            )));
        }
        Ok(())
    }

    /// Returns the condition that the device was neither held, released nor revoked since it was read.
    pub(crate) fn unchanged(&self) -> Unchanged {
        unchanged(&self.item, &["status", "status_changes", "revoked_at"])
    }

    /// Returns the number of changes of the status, with one more.
    pub(crate) fn next_count(&self) -> AttributeValue {
        number(self.status_changes.wrapping_add(1))
    }

    /// Reads the attributes, of which none is damaged.
    fn read(item: Item) -> Result<Self> {
        status(&item)?;
        attribute::<Timestamp>(&item, "revoked_at")?;
        attribute::<DeviceStatus>(&item, "held_from")?;
        let standing = Self::salvage(item);
        let is_on_hold = standing.reason == Some(RevocationReason::CertificateHold);
        if standing.status == Some(DeviceStatus::Held) && !is_on_hold {
            return Err(Error::Damaged(format!(
                "{} META: held, but not for a hold",
                partition_key(&standing.item)
            )));
        }
        Ok(standing)
    }
}

/// Returns the status of a device.
///
/// # Errors
/// If it is damaged.
pub(crate) fn status(item: &Item) -> Result<DeviceStatus> {
    required(item, "status")
}

/// Returns the error for a device that does not exist.
pub(crate) fn missing(id: DeviceId) -> Error {
    OperatorError::Missing(format!("device {id}")).into()
}

impl Store {
    /// Reads the standing of a device that is to be released.
    ///
    /// # Errors
    /// If the device does not exist or is damaged, or DynamoDB is unavailable.
    pub(crate) async fn device_standing(&self, id: DeviceId) -> Result<DeviceStanding> {
        DeviceStanding::read(self.device_item(id).await?)
    }

    /// Reads the standing of a device that is to be revoked, as far as it is intact.
    ///
    /// # Errors
    /// If the device does not exist, or DynamoDB is unavailable.
    pub(crate) async fn salvaged_standing(&self, id: DeviceId) -> Result<DeviceStanding> {
        self.device_item(id).await.map(DeviceStanding::salvage)
    }

    /// Reads the item of a device that must exist.
    async fn device_item(&self, id: DeviceId) -> Result<Item> {
        let item = self.get_item(layout::device(id), META.into()).await?;
        item.ok_or_else(|| missing(id))
    }
}
