//! Devices, as they enroll and as operators see them.

use aws_sdk_dynamodb::types::ReturnValuesOnConditionCheckFailure;
use pki::{
    clock::Timestamp,
    crl::RevocationReason,
    names::{DeviceId, Label, ProjectId, TokenId},
    token::{DeviceToken, SecretHash},
};
use serde::{Deserialize, Deserializer, Serialize, de::IgnoredAny};

use crate::{
    error::{OperatorError, Result},
    store::{
        certificate::arrival::Arrival,
        client::Store,
        device::status::DeviceStatus,
        item::{from_item, to_item},
        layout::{self, META},
    },
};

/// Returns the partition of a project's devices in the index `inventory`.
pub(crate) fn inventory_partition(project: ProjectId) -> String {
    format!("DEVICES#{project}")
}

/// A device as stored and listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRecord {
    /// The device's id, and the common name of its certificates.
    pub device_id: DeviceId,
    /// The project that the device belongs to.
    pub project_id: ProjectId,
    /// The label, which the device chose at enrollment or an operator set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<Label>,
    /// The status of the device.
    pub status: DeviceStatus,
    /// The enrollment token that the device used.
    pub token_id: TokenId,
    /// Time of enrollment.
    pub created_at: Timestamp,
}

#[derive(Serialize)]
struct NewDevice<'a> {
    #[serde(flatten)]
    record: &'a DeviceRecord,
    token_hash: SecretHash,
    issued: u32,
    inventory: String,
}

/// The attributes of a device that decide on issuance.
#[derive(Deserialize)]
pub(crate) struct DeviceState {
    pub(crate) project_id: ProjectId,
    pub(crate) status: DeviceStatus,
    pub(crate) token_hash: SecretHash,
    pub(crate) issued: u32,
    /// Issuance limit of this device, which overrides the policy's.
    #[serde(default)]
    pub(crate) issuance_limit: Option<u32>,
    /// Serial numbers of the certificates that are neither superseded nor withdrawn: the newest, and those
    /// whose issuance has not ended, or was cut off.
    #[serde(default)]
    pub(crate) live_serials: Vec<String>,
    /// Serial numbers whose issuance has not ended, or was cut off, and counts nevertheless. The first
    /// certificate of a device is never among them, because its issuance ends without a write.
    #[serde(default)]
    pub(crate) unfinished: Vec<String>,
    /// Arrival of the last request that was issued a certificate. A damaged time counts as absent, so that it
    /// stops no request.
    #[serde(default, deserialize_with = "intact")]
    pub(crate) last_arrival: Option<Arrival>,
}

/// A device with all details that operators see.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceDetails {
    /// The attributes that lists show.
    #[serde(flatten)]
    pub record: DeviceRecord,
    /// Number of certificates that the device was issued.
    pub issued: u32,
    /// Issuance limit of this device, if an operator overrode the policy's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuance_limit: Option<u32>,
    /// Time of the last issuance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_issued_at: Option<Timestamp>,
    /// Time at which the device was revoked or put on hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Timestamp>,
    /// Reason of the revocation or hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revocation_reason: Option<RevocationReason>,
}

/// Deserializes a value, or nothing if it is damaged.
fn intact<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Option<T>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Value<T> {
        Intact(T),
        Damaged(IgnoredAny),
    }
    Ok(match Value::deserialize(deserializer)? {
        Value::Intact(value) => Some(value),
        Value::Damaged(_) => None,
    })
}

impl Store {
    /// Adds a device, which `token` authenticates from now on.
    ///
    /// # Errors
    /// If the device exists already, or DynamoDB is unavailable.
    pub async fn create_device(&self, device: &DeviceRecord, token: &DeviceToken) -> Result<()> {
        let hash = token.hash();
        let new = NewDevice {
            record: device,
            token_hash: hash.clone(),
            issued: 0,
            inventory: inventory_partition(device.project_id),
        };
        let answer = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(to_item(layout::device(device.device_id), META.into(), &new)?))
            // Without "OR token_hash = :hash": a retry would undo what an operator changed since.
            .condition_expression("attribute_not_exists(PK)")
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        let Err(error) = answer else {
            return Ok(());
        };
        // The SDK may have retried after a lost response, and found its own write.
        let is_ours = match self.conflicting_item(&error)? {
            Some(old) => from_item::<DeviceState>(old)?.token_hash == hash,
            None => false,
        };
        if is_ours {
            Ok(())
        } else {
            Err(OperatorError::Exists(format!("device {}", device.device_id)).into())
        }
    }

    /// Returns a device.
    ///
    /// # Errors
    /// If DynamoDB is unavailable.
    pub async fn device(&self, id: DeviceId) -> Result<Option<DeviceDetails>> {
        self.get(layout::device(id), META.into()).await
    }

    /// Returns the devices of a project, oldest first; at most `limit` of them.
    ///
    /// # Errors
    /// If DynamoDB is unavailable.
    pub async fn devices(
        &self,
        project: ProjectId,
        limit: Option<usize>,
    ) -> Result<Vec<DeviceRecord>> {
        self.inventory(inventory_partition(project), layout::DEVICE, limit).await
    }
}
