//! The ledger: every certificate that was ever asked of a signer, recorded before it was asked.

use aws_sdk_dynamodb::types::{
    AttributeValue, Put, TransactWriteItem, Update, builders::UpdateBuilder,
};
use serde::{Deserialize, Serialize};

use super::{
    Holder, Item, META, Store, device, incomplete, item, key, number, record, service, string,
};
use crate::{
    clock::Timestamp, error::Result, id::DeviceId, lint::LintedTbs, revocation::RevocationReason,
    token::hex,
};

/// What the partitions of devices' entries begin with. Not those of the devices: whoever may write devices,
/// as the function `enroll` does, has no business on the ledger, and its role has no way there.
pub(super) const LEDGER: &str = "LEDGER#";
/// What all partitions with entries begin with.
const PARTITIONS: [&str; 3] = [LEDGER, service::PARTITION, "REGISTRATION#"];

/// A certificate's entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerEntry {
    /// Lower-case hex.
    pub serial_number: String,
    /// The name of the CA that was asked to sign.
    pub ca: String,
    /// SHA-256 of the subject public key info, in hex.
    pub key_fingerprint: String,
    /// SHA-256 of the to-be-signed certificate, in hex: the very digest that is signed.
    pub tbs_digest: String,
    /// Begin of validity.
    pub not_before: Timestamp,
    /// End of validity.
    pub not_after: Timestamp,
    /// When it was asked for.
    pub requested_at: Timestamp,
    /// When it turned out that nothing was signed or released.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawn_at: Option<Timestamp>,
    /// When a newer one took its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub superseded_at: Option<Timestamp>,
    /// From when on it counts as revoked: for a superseded one the end of its grace, which may lie
    /// ahead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Timestamp>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revocation_reason: Option<RevocationReason>,
    /// What `revoked_at` was when the certificate was put on hold, for when it is released.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at_before_hold: Option<Timestamp>,
}

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
        holder: &Holder<'_>,
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
        let entry_item = || item(partition.clone(), sort(&entry.serial_number), &entry);
        let device = match holder {
            Holder::Device { token, policy, .. } => {
                self.record_for_device(token, policy, &entry, entry_item()?, now).await?;
                Some(token.subject())
            }
            Holder::Service { service, renews, .. } => {
                self.record_for_service(service, *renews, &entry, now).await?;
                None
            }
            Holder::Registration(_) => {
                let what = format!("certificate {}", entry.serial_number);
                self.create(entry_item()?, what).await?;
                None
            }
        };
        let serial_number = entry.serial_number;
        Ok(Recorded { tbs, entry: EntryKey { partition, serial_number, device } })
    }

    pub(super) fn put_new(&self, entry: Item) -> Result<TransactWriteItem> {
        let put = Put::builder()
            .table_name(&self.table)
            .set_item(Some(entry))
            .condition_expression("attribute_not_exists(PK)")
            .build()
            .map_err(incomplete)?;
        Ok(TransactWriteItem::builder().put(put).build())
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
            .set_key(Some(key(partition, sort(&serial_number))))
            .condition_expression("attribute_exists(PK) AND attribute_not_exists(withdrawn_at)")
            .update_expression("SET withdrawn_at = :now")
            .expression_attribute_values(":now", number(now.unix()));
        let mut writes = vec![write(mark)?];
        if let Some(device) = device {
            let give_back = Update::builder()
                .table_name(&self.table)
                .set_key(Some(key(device::partition(device), META.into())))
                .condition_expression("issued > :zero")
                .update_expression("SET issued = issued - :one")
                .expression_attribute_values(":zero", number(0))
                .expression_attribute_values(":one", number(1));
            writes.push(write(give_back)?);
        }
        let answer = self.client.transact_write_items().set_transact_items(Some(writes));
        answer.send().await.map(drop).map_err(|error| self.unavailable(&error))
    }

    /// What the ledger holds of a device, oldest first.
    ///
    /// # Errors
    /// When the store is away.
    pub async fn device_certificates(&self, id: DeviceId) -> Result<Vec<LedgerEntry>> {
        let items = self.certificates(partition(id)).await?;
        let mut entries = items.into_iter().map(record).collect::<Result<Vec<LedgerEntry>>>()?;
        entries.sort_by_key(|entry| entry.requested_at);
        Ok(entries)
    }
}

/// Whether a partition has entries: what looks like one elsewhere was put there by somebody who may write
/// other items.
pub(super) fn is_partition(partition: &str) -> bool {
    PARTITIONS.iter().any(|it| partition.starts_with(it))
}

/// Where a device's entries are.
pub(super) fn partition(id: DeviceId) -> String {
    format!("{LEDGER}{id}")
}

pub(super) fn sort(serial_number: &str) -> String {
    format!("CERT#{serial_number}")
}

pub(super) fn strings<'a>(texts: impl IntoIterator<Item = &'a str>) -> AttributeValue {
    AttributeValue::L(texts.into_iter().map(string).collect())
}

pub(super) fn write(update: UpdateBuilder) -> Result<TransactWriteItem> {
    let update = update.build().map_err(incomplete)?;
    Ok(TransactWriteItem::builder().update(update).build())
}
