//! Revocation of certificates of brokers and other services.

use std::collections::BTreeSet;

use pki::{clock::Timestamp, crl::RevocationReason, names::Host};

use crate::{
    error::{Error, OperatorError, Result},
    store::{
        certificate::{damaged::ReadableEntries, entry::LedgerEntry},
        client::Store,
        condition::is_condition_failure,
        item::{key, number, string},
        layout,
        revocation::report::Report,
    },
};

/// Rounds after which concurrent renewals make a revocation fail.
const ROUNDS: u32 = 20;

impl Store {
    /// Revokes the certificates of a service, by its common name: all that are not revoked yet, or only the
    /// one with `serial_number`. Returns their number; repeating the call changes nothing.
    ///
    /// A revoked certificate cannot be renewed, so those that have expired are revoked too, and so is one from a
    /// concurrent renewal.
    ///
    /// # Errors
    /// If no such certificate was issued under that name; if renewals win in every round; if a ledger entry is
    /// damaged, after everything was revoked; or if DynamoDB is unavailable.
    pub async fn revoke_service(
        &self,
        common_name: &Host,
        serial_number: Option<&str>,
        reason: RevocationReason,
        now: Timestamp,
    ) -> Result<usize> {
        let partition = layout::service(common_name);
        let mut revoked = 0;
        let mut report = Report::default();
        let mut refused = BTreeSet::new();
        for _ in 0..ROUNDS {
            let ReadableEntries { entries, damaged } =
                self.readable_entries(partition.clone()).await?;
            let damaged: Vec<_> =
                damaged.iter().filter(|it| serial_number.is_none_or(|one| it.is_of(one))).collect();
            let is_selected =
                |it: &&LedgerEntry| serial_number.is_none_or(|one| it.serial_number == one);
            if damaged.is_empty() && !entries.iter().any(|it| is_selected(&it)) {
                let which = serial_number.map_or_else(String::new, |one| format!(" {one}"));
                return Err(
                    OperatorError::Missing(format!("certificate{which} of {common_name}")).into()
                );
            }
            let due: Vec<_> = entries
                .iter()
                .filter(is_selected)
                .filter(|it| needs_revocation(it, reason) && !refused.contains(&it.serial_number))
                .collect();
            if due.is_empty() {
                self.revoke_damaged_entries(&partition, damaged, reason, now, &mut report).await?;
                let what = format!("every other certificate of {common_name}");
                return report.end(&what, reason).map(|()| revoked);
            }
            for entry in due {
                let serial_number = &entry.serial_number;
                match self.revoke_service_entry(&partition, serial_number, reason, now).await {
                    Ok(is_changed) => revoked += usize::from(is_changed),
                    Err(error) => {
                        report.refuse(&format!("certificate {serial_number}"), error)?;
                        refused.insert(serial_number.clone());
                    }
                }
            }
        }
        Err(Error::Contended)
    }

    /// Revokes one ledger entry. Returns false if it was revoked already.
    async fn revoke_service_entry(
        &self,
        partition: &str,
        serial_number: &str,
        reason: RevocationReason,
        now: Timestamp,
    ) -> Result<bool> {
        let superseded = RevocationReason::Superseded;
        let condition = match reason == superseded {
            true => "attribute_exists(PK) AND attribute_not_exists(revoked_at)",
            false => {
                "attribute_exists(PK) AND (attribute_not_exists(revoked_at) \
                 OR revocation_reason = :superseded)"
            }
        };
        let update = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key(partition.to_owned(), layout::certificate_sort_key(serial_number))))
            .condition_expression(condition)
            .update_expression("SET revoked_at = :now, revocation_reason = :reason")
            .expression_attribute_values(":now", number(now.unix()))
            .expression_attribute_values(":reason", string(reason.as_str()));
        let update = match reason == superseded {
            true => update,
            false => update.expression_attribute_values(":superseded", string(superseded.as_str())),
        };
        match update.send().await {
            Ok(_) => Ok(true),
            Err(error) if is_condition_failure(&error) => Ok(false),
            Err(error) => Err(self.unavailable(&error)),
        }
    }
}

/// Returns true if the entry is not revoked yet, or was only superseded. The time of that may lie in the future,
/// because an operator's clock was fast.
fn needs_revocation(entry: &LedgerEntry, reason: RevocationReason) -> bool {
    let is_superseded = entry.revocation_reason == Some(RevocationReason::Superseded);
    entry.revoked_at.is_none() || is_superseded && reason != RevocationReason::Superseded
}
