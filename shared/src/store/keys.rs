//! Whose key a key is: an item for each that was certified for a device, under its fingerprint.
//!
//! The item is written in the transaction that puts the certificate on the ledger, on the condition that
//! it is nobody else's. It outlives certificate and device.

use aws_sdk_dynamodb::types::{
    ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update, builders::UpdateBuilder,
};
use serde::{Deserialize, Serialize};

use super::{META, Store, key, ledger::write, number, string};
use crate::{
    clock::Timestamp,
    error::{Error, Result},
    id::DeviceId,
};

fn partition(fingerprint: &str) -> String {
    format!("KEY#{fingerprint}")
}

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
    pub(super) fn refusal(&self) -> Error {
        match self.compromised_at {
            Some(_) => Error::KeyCompromised,
            None => Error::KeyInUse,
        }
    }
}

impl Store {
    /// The write that makes a key a device's, or finds that it is.
    pub(super) fn claim_key(&self, fingerprint: &str, id: DeviceId) -> Result<TransactWriteItem> {
        write(
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
    pub(super) fn distrust_key(
        &self,
        fingerprint: &str,
        id: DeviceId,
        now: Timestamp,
    ) -> Result<TransactWriteItem> {
        write(
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
        self.get(partition(fingerprint), META.into()).await
    }

    fn key_update(&self, fingerprint: &str) -> UpdateBuilder {
        Update::builder()
            .table_name(&self.table)
            .set_key(Some(key(partition(fingerprint), META.into())))
    }
}
