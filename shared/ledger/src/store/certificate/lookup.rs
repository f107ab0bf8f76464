//! Certificates by what one may hold in one's hands: a serial number.

use serde::Deserialize;

use crate::error::Result;
use crate::store::{
    certificate::entry::LedgerEntry,
    client::Store,
    item::{record, string},
    layout,
    table::SERIALS,
};
use pki::names::DeviceId;

/// Whose certificate it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A device, which may have been deleted since.
    Device(DeviceId),
    /// A server, under its name on the ledger.
    Server(String),
}

#[derive(Deserialize)]
struct Keys {
    #[serde(rename = "PK")]
    pk: String,
    #[serde(rename = "SK")]
    sk: String,
}

impl Store {
    /// The certificate with this serial number, in lower-case hex, and whose it is.
    ///
    /// # Errors
    /// When the store is away.
    pub async fn certificate(&self, serial_number: &str) -> Result<Option<(Owner, LedgerEntry)>> {
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
        let keys = page.items.unwrap_or_default().into_iter().map(record::<Keys>);
        let keys: Vec<Keys> = keys.collect::<Result<_>>()?;
        let is_entry =
            |keys: &Keys| layout::is_ledger(&keys.pk) && keys.sk.starts_with(layout::CERTIFICATE);
        let Some(Keys { pk, sk }) = keys.into_iter().find(is_entry) else {
            return Ok(None);
        };
        let owner = match pk.strip_prefix(layout::LEDGER).map(str::parse) {
            Some(Ok(id)) => Owner::Device(id),
            _ => Owner::Server(pk.strip_prefix(layout::SERVICE).unwrap_or(&pk).to_owned()),
        };
        let entry = self.get(pk, sk).await?;
        Ok(entry.map(|entry| (owner, entry)))
    }
}
