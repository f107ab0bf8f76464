//! Devices.

use std::fmt;

use aws_sdk_dynamodb::operation::put_item::PutItemError;
use serde::{Deserialize, Serialize};

use super::{META, Store, item, string};
use crate::{
    clock::Timestamp,
    error::{Error, Result},
    id::{DeviceId, ProjectId, TokenId},
    label::Label,
    token::{DeviceToken, SecretHash},
};

pub(super) fn partition(id: DeviceId) -> String {
    format!("DEVICE#{id}")
}

fn inventory(project: ProjectId) -> String {
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
    /// Never again.
    Revoked,
}

impl fmt::Display for DeviceStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl DeviceStatus {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
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
pub(super) struct Standing {
    pub(super) project_id: ProjectId,
    pub(super) status: DeviceStatus,
    pub(super) token_hash: SecretHash,
    pub(super) issued: u32,
    #[serde(default)]
    pub(super) live_serials: Vec<String>,
}

impl Store {
    /// Adds a device that `token` authenticates from now on.
    ///
    /// # Errors
    /// When the store is away.
    pub async fn create_device(&self, record: &DeviceRecord, token: &DeviceToken) -> Result<()> {
        let hash = token.hash();
        let new = NewDevice {
            record,
            token_hash: hash.clone(),
            issued: 0,
            inventory: inventory(record.project_id),
        };
        let answer = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item(partition(record.device_id), META.into(), &new)?))
            // The SDK retries where an answer was lost, and finds what it wrote itself.
            .condition_expression("attribute_not_exists(PK) OR token_hash = :hash")
            .expression_attribute_values(":hash", string(hash.as_str()))
            .send()
            .await;
        answer.map(drop).map_err(|error| match error.as_service_error() {
            Some(PutItemError::ConditionalCheckFailedException(_)) => {
                Error::Exists(format!("device {}", record.device_id))
            }
            _ => self.unavailable(&error),
        })
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
