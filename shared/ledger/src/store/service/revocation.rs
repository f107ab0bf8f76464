//! Revocation of what brokers and services were issued.

use crate::error::{Error, OperatorError, Result};
use crate::store::{
    certificate::entry::LedgerEntry,
    client::Store,
    item::{key, number, record, string},
    layout,
    write::is_condition_failure,
};
use pki::{clock::Timestamp, crl::RevocationReason, names::Host};

/// How often a renewal may come in between.
const ROUNDS: u32 = 20;

impl Store {
    /// Revokes the certificates of a service, by its common name, that are good still: all of them,
    /// or the one with `serial_number`. Returns how many; to do it again changes nothing. None is
    /// renewed from the moment it is revoked, and one that a renewal made meanwhile is revoked too.
    ///
    /// # Errors
    /// When nothing was issued under that name, or no certificate has that serial number; or when the
    /// store is away.
    pub async fn revoke_service(
        &self,
        common_name: &Host,
        serial_number: Option<&str>,
        reason: RevocationReason,
        now: Timestamp,
    ) -> Result<usize> {
        let partition = layout::service(common_name);
        let mut revoked = 0;
        for _ in 0..ROUNDS {
            let items = self.certificates(partition.clone()).await?;
            let entries = items.into_iter().map(record).collect::<Result<Vec<LedgerEntry>>>()?;
            let meant = |it: &&LedgerEntry| serial_number.is_none_or(|one| it.serial_number == one);
            if !entries.iter().any(|it| meant(&it)) {
                let which = serial_number.map_or_else(String::new, |one| format!(" {one}"));
                return Err(
                    OperatorError::Missing(format!("certificate{which} of {common_name}")).into()
                );
            }
            let due: Vec<_> = entries.iter().filter(meant).filter(|it| is_due(it, now)).collect();
            if due.is_empty() {
                return Ok(revoked);
            }
            for entry in due {
                let serial_number = &entry.serial_number;
                revoked +=
                    usize::from(self.stamp_service(&partition, serial_number, reason, now).await?);
            }
        }
        Err(Error::Contended)
    }

    /// Whether it was not revoked before.
    async fn stamp_service(
        &self,
        partition: &str,
        serial_number: &str,
        reason: RevocationReason,
        now: Timestamp,
    ) -> Result<bool> {
        let answer = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key(partition.to_owned(), layout::certificate_sort(serial_number))))
            .condition_expression("attribute_exists(PK) AND attribute_not_exists(revoked_at)")
            .update_expression("SET revoked_at = :now, revocation_reason = :reason")
            .expression_attribute_values(":now", number(now.unix()))
            .expression_attribute_values(":reason", string(reason.as_str()))
            .send()
            .await;
        match answer {
            Ok(_) => Ok(true),
            Err(error) if is_condition_failure(&error) => Ok(false),
            Err(error) => Err(self.unavailable(&error)),
        }
    }
}

/// What expired is off every CRL anyway.
fn is_due(entry: &LedgerEntry, now: Timestamp) -> bool {
    entry.revoked_at.is_none() && entry.not_after > now
}
