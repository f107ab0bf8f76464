//! Devices, as they come in and as they are looked at.

use std::fmt;

use aws_sdk_dynamodb::{
    operation::put_item::PutItemError, types::ReturnValuesOnConditionCheckFailure,
};
use pki::{
    clock::Timestamp,
    crl::RevocationReason,
    names::{DeviceId, Label, ProjectId, TokenId},
    token::{DeviceToken, SecretHash},
};
use serde::{Deserialize, Serialize};

use crate::{
    error::{OperatorError, Result},
    store::{
        client::Store,
        item::{item, record},
        layout::{self, META},
    },
};

pub(in crate::store) fn inventory(project: ProjectId) -> String {
    format!("DEVICES#{project}")
}

/// A device as it is stored and listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRecord {
    /// Its id, and the common name of its certificates.
    pub device_id: DeviceId,
    /// The project it belongs to.
    pub project_id: ProjectId,
    /// What it called itself when it enrolled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<Label>,
    /// Whether it may ask for an identity.
    pub status: DeviceStatus,
    /// The enrollment token it came in on.
    pub token_id: TokenId,
    /// When it enrolled.
    pub created_at: Timestamp,
}

/// Whether a device may ask for an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceStatus {
    /// It may.
    Active,
    /// Not until an operator enables it; its certificates stay good.
    Disabled,
    /// Not until an operator releases it; its certificates are on hold (RFC 5280, section 5.3.1).
    Held,
    /// Never again.
    Revoked,
}

impl fmt::Display for DeviceStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl DeviceStatus {
    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Disabled => "disabled",
            Self::Held => "held",
            Self::Revoked => "revoked",
        }
    }
}

#[derive(Serialize)]
struct NewDevice<'a> {
    #[serde(flatten)]
    record: &'a DeviceRecord,
    token_hash: SecretHash,
    issued: u32,
    inventory: String,
}

/// What of a device decides whether it is issued a certificate.
#[derive(Deserialize)]
pub(in crate::store) struct DeviceState {
    pub(in crate::store) project_id: ProjectId,
    pub(in crate::store) status: DeviceStatus,
    pub(in crate::store) token_hash: SecretHash,
    pub(in crate::store) issued: u32,
    /// Set by an operator for this device, in place of the policy's.
    #[serde(default)]
    pub(in crate::store) issuance_limit: Option<u32>,
    #[serde(default)]
    pub(in crate::store) live_serials: Vec<String>,
    /// When it was revoked or put on hold.
    #[serde(default)]
    pub(in crate::store) revoked_at: Option<Timestamp>,
    /// What it was before it was put on hold.
    #[serde(default)]
    pub(in crate::store) held_from: Option<DeviceStatus>,
}

/// All that an operator may see of a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceDetails {
    /// What lists show.
    #[serde(flatten)]
    pub record: DeviceRecord,
    /// How many certificates it was issued.
    pub issued: u32,
    /// How many it may be issued, where an operator set that for this device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuance_limit: Option<u32>,
    /// When it was last issued one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_issued_at: Option<Timestamp>,
    /// When it was revoked or put on hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Timestamp>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revocation_reason: Option<RevocationReason>,
}

impl Store {
    /// Adds a device that `token` authenticates from now on.
    ///
    /// # Errors
    /// When the store is away.
    pub async fn create_device(&self, device: &DeviceRecord, token: &DeviceToken) -> Result<()> {
        let hash = token.hash();
        let new = NewDevice {
            record: device,
            token_hash: hash.clone(),
            issued: 0,
            inventory: inventory(device.project_id),
        };
        let answer = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item(layout::device(device.device_id), META.into(), &new)?))
            // Not "or it has this hash": what an operator did to the device since would be undone.
            .condition_expression("attribute_not_exists(PK)")
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        let Err(error) = answer else {
            return Ok(());
        };
        let old = match error.as_service_error() {
            Some(PutItemError::ConditionalCheckFailedException(failure)) => failure.item.clone(),
            _ => return Err(self.unavailable(&error)),
        };
        // The SDK retries where an answer was lost, and finds what it wrote itself.
        let is_ours = match old {
            Some(old) => record::<DeviceState>(old)?.token_hash == hash,
            None => false,
        };
        if is_ours {
            Ok(())
        } else {
            Err(OperatorError::Exists(format!("device {}", device.device_id)).into())
        }
    }

    /// A device.
    ///
    /// # Errors
    /// When the store is away.
    pub async fn device(&self, id: DeviceId) -> Result<Option<DeviceDetails>> {
        self.get(layout::device(id), META.into()).await
    }

    /// The devices of a project, oldest first; at most `limit` of them.
    ///
    /// # Errors
    /// When the store is away.
    pub async fn devices(
        &self,
        project: ProjectId,
        limit: Option<usize>,
    ) -> Result<Vec<DeviceRecord>> {
        self.inventory(inventory(project), limit).await
    }
}
