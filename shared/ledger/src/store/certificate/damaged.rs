//! Ledger entries that cannot be read, and their revocation, whatever they say.

use aws_sdk_dynamodb::types::AttributeValue;
use pki::{clock::Timestamp, crl::RevocationReason};

use crate::{
    error::{Error, Result},
    store::{
        certificate::entry::LedgerEntry,
        client::Store,
        condition::is_condition_failure,
        item::{attribute, from_item, key, number, required, string},
        layout,
    },
};

/// The entries of a partition of the ledger.
pub(crate) struct ReadableEntries {
    /// Those that are intact.
    pub(crate) entries: Vec<LedgerEntry>,
    /// The others.
    pub(crate) damaged: Vec<DamagedEntry>,
}

/// An entry that is not intact.
pub(crate) struct DamagedEntry {
    sort_key: String,
    /// The fingerprint of the certificate's key, if that is intact.
    pub(crate) key_fingerprint: Option<String>,
}

impl DamagedEntry {
    /// Returns true if this is the entry of a certificate.
    pub(crate) fn is_of(&self, serial_number: &str) -> bool {
        self.sort_key == layout::certificate_sort_key(serial_number)
    }
}

/// Returns true for SHA-256 in hex. Anything else might not do as the key of an item.
fn is_fingerprint(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|it| it.is_ascii_hexdigit())
}

/// Returns the error that reports damaged entries, because an operator has to repair them; none if there are
/// none. `what` is said before.
pub(crate) fn report_damage<'a>(
    what: &str,
    damaged: impl IntoIterator<Item = &'a DamagedEntry>,
) -> Result<()> {
    let sort_keys: Vec<_> = damaged.into_iter().map(|it| it.sort_key.as_str()).collect();
    match sort_keys.as_slice() {
        [] => Ok(()),
        sort_keys => Err(Error::Damaged(format!(
            "{what}, but ledger entries are damaged: {}",
            sort_keys.join(", ")
        ))),
    }
}

impl Store {
    /// Reads the entries of a partition of the ledger, and names those that are damaged.
    pub(crate) async fn readable_entries(&self, partition: String) -> Result<ReadableEntries> {
        let mut read = ReadableEntries { entries: Vec::new(), damaged: Vec::new() };
        for item in self.ledger_items(partition).await? {
            let sort_key: String = required(&item, "SK")?;
            let key_fingerprint = attribute(&item, "key_fingerprint").ok().flatten();
            let key_fingerprint = key_fingerprint.filter(|it: &String| is_fingerprint(it));
            // The writes distinguish null from nothing.
            let has_null = item.values().any(AttributeValue::is_null);
            match from_item::<LedgerEntry>(item) {
                Ok(entry)
                    if !has_null
                        && key_fingerprint.is_some()
                        && layout::certificate_sort_key(&entry.serial_number) == sort_key =>
                {
                    read.entries.push(entry);
                }
                _ => read.damaged.push(DamagedEntry { sort_key, key_fingerprint }),
            }
        }
        Ok(read)
    }

    /// Revokes damaged entries, whatever they say; or puts on hold those that no other reason revokes.
    pub(crate) async fn revoke_damaged_entries<'a>(
        &self,
        partition: &str,
        damaged: impl IntoIterator<Item = &'a DamagedEntry>,
        reason: RevocationReason,
        now: Timestamp,
    ) -> Result<()> {
        for DamagedEntry { sort_key, .. } in damaged {
            let update = self
                .client
                .update_item()
                .table_name(&self.table)
                .set_key(Some(key(partition.to_owned(), sort_key.clone())))
                .update_expression("SET revoked_at = :now, revocation_reason = :reason")
                .expression_attribute_values(":now", number(now.unix()))
                .expression_attribute_values(":reason", string(reason.as_str()));
            let update = match reason {
                RevocationReason::CertificateHold => update
                    .condition_expression(
                        "attribute_exists(PK) AND (NOT attribute_type(revocation_reason, :type) \
                         OR revocation_reason = :reason)",
                    )
                    .expression_attribute_values(":type", string("S")),
                _ => update.condition_expression("attribute_exists(PK)"),
            };
            match update.send().await {
                Err(error) if !is_condition_failure(&error) => {
                    return Err(self.unavailable(&error));
                }
                _ => {}
            }
        }
        Ok(())
    }
}
