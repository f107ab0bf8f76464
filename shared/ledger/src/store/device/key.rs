//! Binds each certified public key to one device.
//!
//! The transaction that puts a certificate on the ledger also writes the item of its key, on the condition
//! that no other device has it. The item outlives the certificate and the device.

use aws_sdk_dynamodb::types::{
    ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update, builders::UpdateBuilder,
};
use pki::{clock::Timestamp, names::DeviceId};
use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Result},
    store::{
        client::Store,
        item::{key, number, string},
        layout::{self, META},
        write::update_write,
    },
};

/// A key that was certified for a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRecord {
    /// The device that the key belongs to, for good.
    pub device_id: DeviceId,
    /// Time at which a certificate for the key was revoked with keyCompromise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compromised_at: Option<Timestamp>,
}

impl KeyRecord {
    /// Returns the error for a request that [`Store::key_binding_write`] refused.
    pub(crate) fn refusal(&self) -> Error {
        match self.compromised_at {
            Some(_) => Error::KeyCompromised,
            None => Error::KeyInUse,
        }
    }
}

impl Store {
    /// Returns the write that binds a key to a device, unless it belongs to another or is compromised.
    pub(crate) fn key_binding_write(
        &self,
        fingerprint: &str,
        id: DeviceId,
    ) -> Result<TransactWriteItem> {
        update_write(
            self.key_update(fingerprint)
                .condition_expression(
                    "(attribute_not_exists(PK) OR device_id = :device) \
                     AND attribute_not_exists(compromised_at)",
                )
                .update_expression("SET device_id = :device")
                .expression_attribute_values(":device", string(id.to_string()))
                .return_values_on_condition_check_failure(
                    ReturnValuesOnConditionCheckFailure::AllOld,
                ),
        )
    }

    /// Returns the write that marks a key as compromised, after which no certificate is issued for it.
    /// Creates the item if it does not exist.
    pub(crate) fn key_compromise_write(
        &self,
        fingerprint: &str,
        id: DeviceId,
        now: Timestamp,
    ) -> Result<TransactWriteItem> {
        update_write(
            self.key_update(fingerprint)
                .update_expression(
                    "SET device_id = if_not_exists(device_id, :device), \
                     compromised_at = if_not_exists(compromised_at, :now)",
                )
                .expression_attribute_values(":device", string(id.to_string()))
                .expression_attribute_values(":now", number(now.unix())),
        )
    }

    /// Returns a certified key by its fingerprint: SHA-256 of its subject public key info, in hex.
    ///
    /// # Errors
    /// If DynamoDB is unavailable.
    pub async fn device_key(&self, fingerprint: &str) -> Result<Option<KeyRecord>> {
        self.get(layout::device_key(fingerprint), META.into()).await
    }

    fn key_update(&self, fingerprint: &str) -> UpdateBuilder {
        Update::builder()
            .table_name(&self.table)
            .set_key(Some(key(layout::device_key(fingerprint), META.into())))
    }
}
