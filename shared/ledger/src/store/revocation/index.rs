//! The revoked certificates of a CA, from the index `revocations`.
//!
//! The index has every ledger entry with a `revoked_at`, including superseded ones, for which that is the end
//! of the grace period. One query therefore returns all that is revoked at a given time. The index is
//! eventually consistent, so it may miss a very recent revocation.

use pki::{
    clock::Timestamp,
    crl::{CrlReason, Entry, KEEP_EXPIRED_SECONDS, RevocationReason, Serial},
};
use serde::Deserialize;

use crate::{
    error::{Error, Result},
    store::{
        certificate::entry::LedgerEntry,
        client::Store,
        item::{Item, from_item, number, partition_key, string},
        layout,
        table::REVOCATIONS,
    },
};

/// An item of the index `revocations`.
#[derive(Deserialize)]
struct Revoked {
    serial_number: String,
    revoked_at: Timestamp,
    #[serde(default)]
    revocation_reason: Option<RevocationReason>,
}

impl Store {
    /// Returns the CRL entries of the CA `ca` at `now`, without certificates that expired before
    /// `expired_before`; sorted by serial number, without duplicates.
    ///
    /// Only the end of a grace period may lie in the future. Any other revocation counts from now on,
    /// whatever time it has, because an operator's clock may be fast.
    ///
    /// # Errors
    /// If DynamoDB is unavailable, or an entry cannot be parsed.
    pub async fn revoked_certificates(
        &self,
        ca: &str,
        now: Timestamp,
        expired_before: Timestamp,
    ) -> Result<Vec<Entry>> {
        let query = self
            .client
            .query()
            .index_name(REVOCATIONS)
            .key_condition_expression("ca = :ca")
            .filter_expression("not_after >= :expired_before")
            .expression_attribute_values(":ca", string(ca))
            .expression_attribute_values(":expired_before", number(expired_before.unix()));
        let mut entries = self.collect_pages(query, |item| entry(item, now)).await?;
        // An item that changes between two pages may be in both. The earlier revocation counts.
        entries.sort_unstable_by_key(|entry| (entry.serial, entry.revoked_at));
        entries.dedup_by_key(|entry| entry.serial);
        Ok(entries)
    }
}

/// Returns true if a CRL still lists the certificate once it is revoked, although it may have expired.
pub(crate) fn may_be_on_crl(entry: &LedgerEntry, now: Timestamp) -> bool {
    entry.not_after >= now.minus(KEEP_EXPIRED_SECONDS)
}

fn entry(item: Item, now: Timestamp) -> Result<Option<Entry>> {
    // Checked before parsing: a forged item in another partition may contain anything.
    if !layout::is_ledger_partition(partition_key(&item)) {
        return Ok(None);
    }
    let Revoked { serial_number, revoked_at, revocation_reason } = from_item(item)?;
    if revoked_at > now && revocation_reason == Some(RevocationReason::Superseded) {
        return Ok(None);
    }
    let serial: Serial = serial_number
        .parse()
        .map_err(|error| Error::Incomplete(format!("serial number {serial_number}: {error}")))?;
    let reason = revocation_reason.map_or(CrlReason::Unspecified, CrlReason::from);
    Ok(Some(Entry { serial, revoked_at: revoked_at.min(now), reason }))
}
