//! Records certificates on the ledger before they are signed, and withdraws those that were not released.

use aws_sdk_dynamodb::types::Update;
use pki::{clock::Timestamp, hex, lint::LintedTbs, names::DeviceId};

use crate::{
    error::Result,
    store::{
        certificate::{entry::LedgerEntry, request::IssuanceRequest},
        client::Store,
        item::{from_item, key, number, to_item},
        layout::{self, META},
        write::update_write,
    },
};

/// A to-be-signed certificate (TBS) that is on the ledger. The signer accepts nothing else, and only
/// [`Store::record`] creates one.
pub(crate) struct RecordedTbs {
    tbs: LintedTbs,
    ledger_key: LedgerEntryKey,
}

/// The primary key of a ledger entry.
#[derive(Clone)]
pub(crate) struct LedgerEntryKey {
    partition: String,
    serial_number: String,
    /// The device that the certificate is for, if it is for one.
    device: Option<DeviceId>,
}

impl RecordedTbs {
    /// Returns the key of the ledger entry.
    pub(crate) fn ledger_key(&self) -> LedgerEntryKey {
        self.ledger_key.clone()
    }

    /// Releases the TBS to the signer. Consuming the record allows one signature for each.
    pub(crate) fn into_tbs(self) -> LintedTbs {
        self.tbs
    }
}

impl Store {
    /// Puts a certificate on the ledger, in the same write that authenticates and authorizes `request`.
    ///
    /// A device is authenticated by its token, and authorized by its status and its issuance limit. The
    /// write also supersedes the device's earlier certificates.
    ///
    /// # Errors
    /// If the request is not authentic or not allowed, or DynamoDB is unavailable.
    pub(crate) async fn record(
        &self,
        request: &IssuanceRequest<'_>,
        tbs: LintedTbs,
        ca: &str,
        now: Timestamp,
    ) -> Result<RecordedTbs> {
        let partition = request.partition();
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
        let entry_item = || {
            to_item(partition.clone(), layout::certificate_sort_key(&entry.serial_number), &entry)
        };
        let device = match request {
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
        let ledger_key = LedgerEntryKey { partition, serial_number, device };
        Ok(RecordedTbs { tbs, ledger_key })
    }

    /// Marks a ledger entry as withdrawn, because no certificate was released, and gives a device its
    /// issuance back.
    ///
    /// The entry stays the device's live one. If KMS signed after all, the next issuance supersedes that
    /// certificate like any other.
    ///
    /// # Errors
    /// If the entry was withdrawn already, or DynamoDB is unavailable.
    pub(crate) async fn withdraw(&self, entry: LedgerEntryKey, now: Timestamp) -> Result<()> {
        let LedgerEntryKey { partition, serial_number, device } = entry;
        let mark = Update::builder()
            .table_name(&self.table)
            .set_key(Some(key(partition, layout::certificate_sort_key(&serial_number))))
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
