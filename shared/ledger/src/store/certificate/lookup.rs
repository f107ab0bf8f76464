//! Lookup of certificates by serial number.

use pki::names::DeviceId;
use serde::Deserialize;

use crate::{
    error::Result,
    store::{
        certificate::entry::LedgerEntry,
        client::Store,
        item::{Item, from_item, string},
        layout,
        table::SERIALS,
    },
};

/// The owner of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateOwner {
    /// A device, which may have been deleted since.
    Device(DeviceId),
    /// A broker or another service, by its common name; or the partition of an AWS IoT registration.
    Service(String),
}

#[derive(Deserialize)]
struct Keys {
    #[serde(rename = "PK")]
    pk: String,
    #[serde(rename = "SK")]
    sk: String,
}

impl Store {
    /// Returns the certificate with this serial number, in lower-case hex, and its owner.
    ///
    /// # Errors
    /// If DynamoDB is unavailable.
    pub async fn certificate(
        &self,
        serial_number: &str,
    ) -> Result<Option<(CertificateOwner, LedgerEntry)>> {
        let Some(Keys { pk, sk }) = self.ledger_keys(serial_number).await? else {
            return Ok(None);
        };
        let owner = match pk.strip_prefix(layout::LEDGER).map(str::parse) {
            Some(Ok(id)) => CertificateOwner::Device(id),
            _ => CertificateOwner::Service(
                pk.strip_prefix(layout::SERVICE).unwrap_or(&pk).to_owned(),
            ),
        };
        let entry = self.get(pk, sk).await?;
        Ok(entry.map(|entry| (owner, entry)))
    }

    /// Reads the ledger entry with this serial number, strongly consistent, without parsing it.
    pub(crate) async fn ledger_item(&self, serial_number: &str) -> Result<Option<Item>> {
        match self.ledger_keys(serial_number).await? {
            Some(Keys { pk, sk }) => self.get_item(pk, sk).await,
            None => Ok(None),
        }
    }

    /// Finds the ledger entry with this serial number in the index, which has it since issuance.
    async fn ledger_keys(&self, serial_number: &str) -> Result<Option<Keys>> {
        let page = self
            .client
            .query()
            .table_name(&self.table)
            .index_name(SERIALS)
            .key_condition_expression("serial_number = :serial")
            .expression_attribute_values(":serial", string(serial_number))
            .send()
            .await
            .map_err(|error| self.unavailable(&error))?;
        let keys = page.items.unwrap_or_default().into_iter().map(from_item::<Keys>);
        let keys: Vec<Keys> = keys.collect::<Result<_>>()?;
        let is_entry = |keys: &Keys| {
            layout::is_ledger_partition(&keys.pk) && keys.sk.starts_with(layout::CERTIFICATE)
        };
        Ok(keys.into_iter().find(is_entry))
    }
}
