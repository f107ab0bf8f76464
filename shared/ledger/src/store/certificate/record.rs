//! The ledger: every certificate that was ever asked of a signer, recorded before it was asked.

use aws_sdk_dynamodb::types::Update;
use pki::{clock::Timestamp, hex, lint::LintedTbs, names::DeviceId};

use crate::{
    error::Result,
    store::{
        certificate::{entry::LedgerEntry, request::IssuanceRequest},
        client::Store,
        item::{item, key, number, record},
        layout::{self, META},
        write::update_write,
    },
};

/// A certificate that is on the ledger. Only this can be signed, and only the store makes it.
pub struct Recorded {
    tbs: LintedTbs,
    entry: EntryKey,
}

/// Where a certificate stands on the ledger.
#[derive(Clone)]
pub struct EntryKey {
    partition: String,
    serial_number: String,
    /// The device that is issued it.
    device: Option<DeviceId>,
}

impl Recorded {
    /// Where it stands.
    #[must_use]
    pub fn entry(&self) -> EntryKey {
        self.entry.clone()
    }

    pub(crate) fn into_tbs(self) -> LintedTbs {
        self.tbs
    }
}

impl Store {
    /// Puts a certificate on the ledger, in the same write that authenticates and authorises its
    /// holder: a device by its token, its status and its issuance limit. For a device that was
    /// issued before, the entries of its earlier certificates are superseded with it.
    ///
    /// # Errors
    /// Why the holder is not entitled to it; or when the store is away.
    pub async fn record(
        &self,
        holder: &IssuanceRequest<'_>,
        tbs: LintedTbs,
        ca: &str,
        now: Timestamp,
    ) -> Result<Recorded> {
        let partition = holder.partition();
        let entry = LedgerEntry {
            serial_number: tbs.serial_number().to_owned(),
            ca: ca.to_owned(),
            key_fingerprint: tbs.key_fingerprint().to_owned(),
            tbs_digest: hex(tbs.digest()),
            not_before: tbs.not_before(),
            not_after: tbs.not_after(),
            requested_at: now,
            withdrawn_at: None,
            superseded_at: None,
            revoked_at: None,
            revocation_reason: None,
            revoked_at_before_hold: None,
        };
        let entry_item =
            || item(partition.clone(), layout::certificate_sort(&entry.serial_number), &entry);
        let device = match holder {
            IssuanceRequest::Device { token, policy, .. } => {
                self.record_for_device(token, policy, &entry, entry_item()?, now).await?;
                Some(token.subject())
            }
            IssuanceRequest::Service { service, renews, .. } => {
                self.record_for_service(service, *renews, &entry, now).await?;
                None
            }
            IssuanceRequest::Registration(_) => {
                let what = format!("certificate {}", entry.serial_number);
                self.create(entry_item()?, what).await?;
                None
            }
        };
        let serial_number = entry.serial_number;
        Ok(Recorded { tbs, entry: EntryKey { partition, serial_number, device } })
    }

    /// Says on the ledger that nothing came of an entry, and gives a device its issuance back. The
    /// entry stays, and stays the device's live one: should the signer have signed after all, the
    /// next identity supersedes it like any other.
    ///
    /// # Errors
    /// When the store is away.
    pub async fn withdraw(&self, entry: EntryKey, now: Timestamp) -> Result<()> {
        let EntryKey { partition, serial_number, device } = entry;
        let mark = Update::builder()
            .table_name(&self.table)
            .set_key(Some(key(partition, layout::certificate_sort(&serial_number))))
            .condition_expression("attribute_exists(PK) AND attribute_not_exists(withdrawn_at)")
            .update_expression("SET withdrawn_at = :now")
            .expression_attribute_values(":now", number(now.unix()));
        let mut writes = vec![update_write(mark)?];
        if let Some(device) = device {
            let give_back = Update::builder()
                .table_name(&self.table)
                .set_key(Some(key(layout::device(device), META.into())))
                .condition_expression("issued > :zero")
                .update_expression("SET issued = issued - :one")
                .expression_attribute_values(":zero", number(0))
                .expression_attribute_values(":one", number(1));
            writes.push(update_write(give_back)?);
        }
        match self.transact(writes).await? {
            None => Ok(()),
            Some(cancelled) => Err(self.unavailable(&cancelled.into_error())),
        }
    }

    /// What the ledger holds of a device, oldest first.
    ///
    /// # Errors
    /// When the store is away.
    pub async fn device_certificates(&self, id: DeviceId) -> Result<Vec<LedgerEntry>> {
        let items = self.certificates(layout::ledger(id)).await?;
        let mut entries = items.into_iter().map(record).collect::<Result<Vec<LedgerEntry>>>()?;
        entries.sort_by_key(|entry| entry.requested_at);
        Ok(entries)
    }
}
