//! Whose key a key is: an item for each that was certified for a device, under its fingerprint.
//!
//! The item is written in the transaction that puts the certificate on the ledger, on the condition that
//! it is nobody else's. It outlives certificate and device.

use aws_sdk_dynamodb::types::{
    ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update, builders::UpdateBuilder,
};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::store::{
    client::Store,
    item::{key, number, string},
    layout::{self, META},
    write::update_write,
};
use pki::{clock::Timestamp, names::DeviceId};

/// A key that was certified for a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRecord {
    /// Whose it is, and stays.
    pub device_id: DeviceId,
    /// When a certificate for it was revoked with keyCompromise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compromised_at: Option<Timestamp>,
}

impl KeyRecord {
    /// Why the key is not certified (again).
    pub(in crate::store) fn refusal(&self) -> Error {
        match self.compromised_at {
            Some(_) => Error::KeyCompromised,
            None => Error::KeyInUse,
        }
    }
}

impl Store {
    /// The write that makes a key a device's, or finds that it is.
    pub(in crate::store) fn claim_key(
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

    /// The write after which no certificate is issued for a key, whoever has it. It makes the item where
    /// there is none.
    pub(in crate::store) fn distrust_key(
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

    /// A key that was certified for a device, by its fingerprint: SHA-256 of its subject public key info,
    /// in hex.
    ///
    /// # Errors
    /// When the store is away.
    pub async fn key(&self, fingerprint: &str) -> Result<Option<KeyRecord>> {
        self.get(layout::device_key(fingerprint), META.into()).await
    }

    fn key_update(&self, fingerprint: &str) -> UpdateBuilder {
        Update::builder()
            .table_name(&self.table)
            .set_key(Some(key(layout::device_key(fingerprint), META.into())))
    }
}
