//! Records certificates on the ledger before they are signed.

use pki::{clock::Timestamp, hex, lint::LintedTbs, names::DeviceId};

use crate::{
    error::Result,
    store::{
        certificate::{entry::LedgerEntry, request::IssuanceRequest},
        client::Store,
        item::{Item, from_item, key, to_item},
        layout,
    },
};

/// A to-be-signed certificate (TBS) that is on the ledger. The signer accepts nothing else, and only
/// [`Store::record`] creates one.
pub(crate) struct RecordedTbs(LintedTbs);

impl RecordedTbs {
    /// Releases the TBS to the signer. Consuming the record allows one signature for each.
    pub(crate) fn into_tbs(self) -> LintedTbs {
        self.0
    }
}

/// The primary key of a ledger entry.
#[derive(Clone)]
pub(crate) struct LedgerEntryKey {
    pub(crate) partition: String,
    pub(crate) serial_number: String,
    /// The device that the certificate is for, if it is for one.
    pub(crate) device: Option<DeviceId>,
}

impl LedgerEntryKey {
    /// Returns the key of the entry for a certificate that `request` asks for.
    pub(crate) fn new(request: &IssuanceRequest<'_>, tbs: &LintedTbs) -> Self {
        Self {
            partition: request.partition(),
            serial_number: tbs.serial_number().to_owned(),
            device: match request {
                IssuanceRequest::Device { token, .. } => Some(token.subject()),
                IssuanceRequest::Service { .. } | IssuanceRequest::Registration(_) => None,
            },
        }
    }

    /// Returns the key as DynamoDB takes it.
    pub(crate) fn item_key(&self) -> Item {
        key(self.partition.clone(), layout::certificate_sort_key(&self.serial_number))
    }
}

/// A ledger entry that was recorded, and what is to follow once its certificate is verified.
pub(crate) struct RecordedEntry {
    pub(crate) key: LedgerEntryKey,
    /// The serial numbers of the subject's certificates that the new one supersedes.
    pub(crate) supersedes: Vec<String>,
    /// The time in seconds after which these count as revoked. `None` if they stay valid, as a broker's do.
    pub(crate) grace_seconds: Option<u64>,
}

impl Store {
    /// Puts a certificate on the ledger, in the same write that authenticates and authorizes `request`.
    ///
    /// A device is authenticated by its token, and authorized by its status and its issuance limit. The
    /// earlier certificates of the subject stay good until [`Store::supersede_earlier`].
    ///
    /// # Errors
    /// If the request is not authentic or not allowed, or DynamoDB is unavailable.
    pub(crate) async fn record(
        &self,
        request: &IssuanceRequest<'_>,
        key: LedgerEntryKey,
        tbs: LintedTbs,
        ca: &str,
        now: Timestamp,
    ) -> Result<(RecordedEntry, RecordedTbs)> {
        let entry = LedgerEntry {
            serial_number: key.serial_number.clone(),
            ca: ca.to_owned(),
            key_fingerprint: tbs.key_fingerprint().to_owned(),
            tbs_digest: hex(tbs.digest()),
            not_before: tbs.not_before(),
            not_after: tbs.not_after(),
            requested_at: now,
            verified_at: None,
            withdrawn_at: None,
            superseded_at: None,
            revoked_at: None,
            revocation_reason: None,
            revoked_at_before_hold: None,
        };
        let entry_item = || {
            let sort = layout::certificate_sort_key(&entry.serial_number);
            to_item(key.partition.clone(), sort, &entry)
        };
        let (supersedes, grace_seconds) = match request {
            IssuanceRequest::Device { token, policy, arrival, .. } => (
                self.record_for_device(token, policy, *arrival, &entry, entry_item()?, now).await?,
                Some(policy.grace_seconds()),
            ),
            IssuanceRequest::Service { service, renews, .. } => {
                self.record_for_service(service, *renews, &entry, now).await?;
                (renews.map(str::to_owned).into_iter().collect(), None)
            }
            IssuanceRequest::Registration(_) => {
                let what = format!("certificate {}", entry.serial_number);
                self.create(entry_item()?, what).await?;
                (Vec::new(), None)
            }
        };
        Ok((RecordedEntry { key, supersedes, grace_seconds }, RecordedTbs(tbs)))
    }

    /// Returns the ledger entries of a device, oldest first.
    ///
    /// # Errors
    /// If DynamoDB is unavailable.
    pub async fn device_certificates(&self, id: DeviceId) -> Result<Vec<LedgerEntry>> {
        let items = self.ledger_items(layout::ledger(id)).await?;
        let mut entries = items.into_iter().map(from_item).collect::<Result<Vec<LedgerEntry>>>()?;
        entries.sort_by_key(|entry| entry.requested_at);
        Ok(entries)
    }
}
