//! Certificates by what one may hold in one's hands: a serial number.

use serde::Deserialize;

use super::{
    LedgerEntry, SERIALS, Store,
    ledger::{LEDGER, is_partition, sort},
    record, service, string,
};
use crate::{clock::Timestamp, error::Result, id::DeviceId, revocation::RevocationReason};

/// Whose certificate it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A device, which may have been deleted since.
    Device(DeviceId),
    /// A server, under its name on the ledger.
    Server(String),
}

/// How a certificate stands at some moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CertificateStatus {
    /// Nothing speaks against it.
    Good,
    /// A newer one took its place; it is good until its grace is over.
    Superseded,
    /// It is suspended.
    OnHold,
    /// It is revoked.
    Revoked,
    /// Nothing was signed, as far as is known.
    Withdrawn,
    /// Its validity is over.
    Expired,
}

impl CertificateStatus {
    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Superseded => "superseded",
            Self::OnHold => "on-hold",
            Self::Revoked => "revoked",
            Self::Withdrawn => "withdrawn",
            Self::Expired => "expired",
        }
    }
}

impl LedgerEntry {
    /// How the certificate stands at `now`.
    #[must_use]
    pub fn status(&self, now: Timestamp) -> CertificateStatus {
        match self.revoked_at {
            _ if self.not_after < now => CertificateStatus::Expired,
            _ if self.revocation_reason == Some(RevocationReason::CertificateHold) => {
                CertificateStatus::OnHold
            }
            Some(then) if then <= now => CertificateStatus::Revoked,
            _ if self.withdrawn_at.is_some() => CertificateStatus::Withdrawn,
            Some(_) => CertificateStatus::Superseded,
            None => CertificateStatus::Good,
        }
    }
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
        let is_entry = |keys: &Keys| is_partition(&keys.pk) && keys.sk.starts_with(&sort(""));
        let Some(Keys { pk, sk }) = keys.into_iter().find(is_entry) else {
            return Ok(None);
        };
        let owner = match pk.strip_prefix(LEDGER).map(str::parse) {
            Some(Ok(id)) => Owner::Device(id),
            _ => Owner::Server(pk.strip_prefix(service::PARTITION).unwrap_or(&pk).to_owned()),
        };
        let entry = self.get(pk, sk).await?;
        Ok(entry.map(|entry| (owner, entry)))
    }
}
