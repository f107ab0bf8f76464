//! What is revoked: what the index `revocations` has of a CA's certificates.
//!
//! The index is behind the table by a moment, so that it may miss a revocation that is an instant old.

use serde::Deserialize;

use crate::error::{Error, Result};
use crate::store::{
    client::Store,
    item::{Item, number, partition_key, record, string},
    layout,
    table::REVOCATIONS,
};
use pki::{
    clock::Timestamp,
    crl::{CrlReason, Entry, RevocationReason, Serial},
};

/// How fast an operator's clock may be, in seconds.
const SKEW: u64 = 60 * 60;

/// An item of the index `revocations`.
#[derive(Deserialize)]
struct Revoked {
    serial_number: String,
    revoked_at: Timestamp,
    #[serde(default)]
    revocation_reason: Option<RevocationReason>,
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
        let mut entries = self.every_page(query, |item| entry(item, now)).await?;
        // What changes between two pages may be in both. The first time counts.
        entries.sort_unstable_by_key(|entry| (entry.serial, entry.revoked_at));
        entries.dedup_by_key(|entry| entry.serial);
        Ok(entries)
    }
}

fn entry(item: Item, now: Timestamp) -> Result<Option<Entry>> {
    // Before anything else of it is read: what somebody put elsewhere may be anything.
    if !layout::is_ledger(partition_key(&item)) {
        return Ok(None);
    }
    let Revoked { serial_number, revoked_at, revocation_reason } = record(item)?;
    if revoked_at > now && revocation_reason == Some(RevocationReason::Superseded) {
        return Ok(None);
    }
    let serial: Serial = serial_number
        .parse()
        .map_err(|error| Error::Incomplete(format!("serial number {serial_number}: {error}")))?;
    let reason = revocation_reason.map_or(CrlReason::Unspecified, CrlReason::from);
    Ok(Some(Entry { serial, revoked_at: revoked_at.min(now), reason }))
}
