//! Who is revoked: what the index `revocations` has of a CA's certificates, and of devices.
//!
//! The index is behind the table by a moment, so that it may miss a revocation that is an instant old.

use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use serde::{Deserialize, de::DeserializeOwned};

use super::{REVOCATIONS, Store, device, ledger::is_partition, number, record, string};
use crate::{
    clock::Timestamp,
    crl::{CrlReason, Entry, Serial},
    error::{Error, Result},
    id::DeviceId,
    revocation::RevocationReason,
};

/// The partition of devices that are denied. No CA has a name like it.
pub(super) const DENIED: &str = "DENIED";
/// How fast an operator's clock may be, in seconds.
const SKEW: u64 = 60 * 60;

/// An item of the index `revocations`: a certificate.
#[derive(Deserialize)]
struct Revoked {
    #[serde(rename = "PK")]
    partition: String,
    serial_number: String,
    revoked_at: Timestamp,
    #[serde(default)]
    revocation_reason: Option<RevocationReason>,
}

/// An item of the index `revocations`: a denied device.
#[derive(Deserialize)]
struct Denied {
    #[serde(rename = "PK")]
    partition: String,
}

impl Store {
    /// What of the CA `ca` is revoked at `now`, without what expired before `expired_before`; by
    /// serial number, each once.
    ///
    /// An operator's clock may be fast. What was revoked by a time that is [`SKEW`] ahead at most is
    /// revoked now, unless that time is the end of a grace.
    ///
    /// # Errors
    /// When the store is away, or an entry is damaged.
    pub async fn revoked(
        &self,
        ca: &str,
        now: Timestamp,
        expired_before: Timestamp,
    ) -> Result<Vec<Entry>> {
        let query = self
            .client
            .query()
            .index_name(REVOCATIONS)
            .key_condition_expression("ca = :ca AND revoked_at <= :now")
            .filter_expression("not_after >= :expired_before")
            .expression_attribute_values(":ca", string(ca))
            .expression_attribute_values(":now", number(now.plus(SKEW).unix()))
            .expression_attribute_values(":expired_before", number(expired_before.unix()));
        let mut entries = self.every_page(query, |revoked| entry(revoked, now)).await?;
        // What changes between two pages may be in both. The first time counts.
        entries.sort_unstable_by_key(|entry| (entry.serial, entry.revoked_at));
        entries.dedup_by_key(|entry| entry.serial);
        Ok(entries)
    }

    /// The devices that are revoked or on hold, sorted.
    ///
    /// # Errors
    /// When the store is away, or an item is damaged.
    pub async fn denied_devices(&self) -> Result<Vec<DeviceId>> {
        let query = self
            .client
            .query()
            .index_name(REVOCATIONS)
            .key_condition_expression("ca = :ca")
            .expression_attribute_values(":ca", string(DENIED));
        let id = |Denied { partition }| match device::of_partition(&partition) {
            Some(id) => Ok(Some(id)),
            None => Err(Error::Incomplete(format!("{partition} is no device"))),
        };
        let mut devices = self.every_page(query, id).await?;
        devices.sort_unstable();
        devices.dedup();
        Ok(devices)
    }

    /// What a query finds, each item made into what is kept of it as it comes.
    pub(super) async fn every_page<T: DeserializeOwned, U>(
        &self,
        query: QueryFluentBuilder,
        keep: impl Fn(T) -> Result<Option<U>>,
    ) -> Result<Vec<U>> {
        let mut all = Vec::new();
        let mut pages = query.table_name(&self.table).into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| self.unavailable(&error))?;
            for item in page.items.unwrap_or_default() {
                all.extend(keep(record(item)?)?);
            }
        }
        Ok(all)
    }
}

fn entry(revoked: Revoked, now: Timestamp) -> Result<Option<Entry>> {
    let Revoked { partition, serial_number, revoked_at, revocation_reason } = revoked;
    if !is_partition(&partition) {
        return Ok(None);
    }
    if revoked_at > now && revocation_reason == Some(RevocationReason::Superseded) {
        return Ok(None);
    }
    let serial: Serial = serial_number
        .parse()
        .map_err(|error| Error::Incomplete(format!("serial number {serial_number}: {error}")))?;
    let reason = revocation_reason.map_or(CrlReason::Unspecified, CrlReason::from);
    Ok(Some(Entry { serial, revoked_at: revoked_at.min(now), reason }))
}
