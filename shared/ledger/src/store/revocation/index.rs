//! The revoked certificates of a CA, from the index `revocations`.
//!
//! The index has every ledger entry with a `revoked_at`, including superseded ones, for which that is the end
//! of the grace period. One query therefore returns all that is revoked at a given time. The index is
//! eventually consistent, so it may miss a very recent revocation.

use crate::{
    error::{Error, Result},
    store::{
        certificate::entry::LedgerEntry,
        client::Store,
        item::{Item, attribute, number, partition_key, required, string},
        layout,
        table::REVOCATIONS,
    },
};
use pki::{
    clock::Timestamp,
    crl::{CrlReason, Entry, KEEP_EXPIRED_SECONDS, RevocationReason, Serial},
};

/// The revoked certificates of a CA, as far as the index has them.
#[derive(Debug, Default)]
pub struct RevokedCertificates {
    /// The CRL entries, sorted by serial number, without duplicates.
    pub entries: Vec<Entry>,
    /// The certificates that expired so long ago that no CRL lists them any more, sorted: only those that a CRL
    /// of the time asked for may list.
    pub expired: Vec<Serial>,
    /// The damaged items, and the reasons. Those whose serial number can be read are among the entries.
    pub damaged: Vec<Error>,
}

impl Store {
    /// Returns the revoked certificates of the CA `ca` at `now`. `published_at` is the time of the CRL that is
    /// published, if there is one.
    ///
    /// Only the end of a grace period may lie in the future. Any other revocation counts from now on, whatever
    /// time it has, because an operator's clock may be fast.
    ///
    /// # Errors
    /// If DynamoDB is unavailable.
    pub async fn revoked_certificates(
        &self,
        ca: &str,
        now: Timestamp,
        published_at: Option<Timestamp>,
    ) -> Result<RevokedCertificates> {
        // Below that, not even the published CRL lists a certificate.
        let since = published_at.map_or(now, |at| at.min(now)).minus(KEEP_EXPIRED_SECONDS);
        let query = self
            .client
            .query()
            .index_name(REVOCATIONS)
            .key_condition_expression("ca = :ca")
            // An entry without an expiry is damaged, and must not be left out.
            .filter_expression("NOT not_after < :since")
            .expression_attribute_values(":ca", string(ca))
            .expression_attribute_values(":since", number(since.unix()));
        let mut found = RevokedCertificates::default();
        self.visit_pages(query, |item| found.add(&item, now)).await?;
        // An item that changes between two pages may be in both. The earlier revocation counts.
        found.entries.sort_unstable_by_key(|entry| (entry.serial, entry.revoked_at));
        found.entries.dedup_by_key(|entry| entry.serial);
        found.expired.sort_unstable();
        Ok(found)
    }
}

impl RevokedCertificates {
    /// Adds an item of the index. What is damaged counts as revoked: the item would not be in the index if its
    /// entry were not revoked or superseded.
    fn add(&mut self, item: &Item, now: Timestamp) {
        // Checked before parsing: a forged item in another partition may contain anything.
        if !layout::is_ledger_partition(partition_key(item)) {
            return;
        }
        let serial = match serial(item) {
            Ok(serial) => serial,
            Err(error) => return self.damaged.push(error),
        };
        match required::<Timestamp>(item, "not_after") {
            Ok(not_after) if not_after < now.minus(KEEP_EXPIRED_SECONDS) => {
                return self.expired.push(serial);
            }
            Ok(_) => {}
            Err(error) => self.damaged.push(error),
        }
        let revoked_at = required::<Timestamp>(item, "revoked_at").unwrap_or_else(|error| {
            self.damaged.push(error);
            now
        });
        let reason =
            attribute::<RevocationReason>(item, "revocation_reason").unwrap_or_else(|error| {
                self.damaged.push(error);
                None
            });
        if revoked_at > now && reason == Some(RevocationReason::Superseded) {
            return;
        }
        let reason = reason.map_or(CrlReason::Unspecified, CrlReason::from);
        self.entries.push(Entry { serial, revoked_at: revoked_at.min(now), reason });
    }
}

/// Returns the serial number of a ledger entry, from its sort key, which nobody can change.
fn serial(item: &Item) -> Result<Serial> {
    let sort_key = required::<String>(item, "SK")?;
    let serial = sort_key.strip_prefix(layout::CERTIFICATE).unwrap_or_default();
    serial
        .parse()
        .map_err(|error| Error::Damaged(format!("{} {sort_key}: {error}", partition_key(item))))
}

/// Returns true if a CRL still lists the certificate once it is revoked, although it may have expired.
pub(crate) fn may_be_on_crl(entry: &LedgerEntry, now: Timestamp) -> bool {
    entry.not_after >= now.minus(KEEP_EXPIRED_SECONDS)
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::types::AttributeValue;

    use super::*;
    use crate::store::item::key;

    const NOW: Timestamp = Timestamp::from_unix(1_800_000_000);
    const SERIAL: &str = "4000000000000000000000000000000a";

    fn item(attributes: &[(&str, AttributeValue)]) -> Item {
        let mut item = key("LEDGER#x".into(), format!("CERT#{SERIAL}"));
        let good = [
            ("serial_number", string(SERIAL)),
            ("revoked_at", number(NOW.minus(10).unix())),
            ("revocation_reason", string("keyCompromise")),
            ("not_after", number(NOW.plus(10).unix())),
        ];
        let all = good.iter().chain(attributes).cloned();
        item.extend(all.map(|(name, value)| (name.to_owned(), value)));
        item
    }

    fn read(item: &Item) -> RevokedCertificates {
        let mut found = RevokedCertificates::default();
        found.add(item, NOW);
        found
    }

    #[test]
    fn a_damaged_item_counts_as_revoked() {
        let good = read(&item(&[]));
        let entry = Entry {
            serial: SERIAL.parse().unwrap(),
            revoked_at: NOW.minus(10),
            reason: CrlReason::KeyCompromise,
        };
        assert_eq!(good.entries, [entry]);
        assert!(good.damaged.is_empty());
        let unspecified = Entry { reason: CrlReason::Unspecified, ..entry };
        let now = Entry { revoked_at: NOW, ..entry };
        for (attribute, value, expected) in [
            ("serial_number", number(1), entry),
            ("revocation_reason", string("whim"), unspecified),
            ("revocation_reason", number(1), unspecified),
            ("revoked_at", number("-1"), now),
            ("revoked_at", number("1e30"), now),
            ("not_after", string("never"), entry),
        ] {
            let found = read(&item(&[(attribute, value)]));
            assert_eq!(found.entries, [expected], "{attribute}");
            // The serial number is read from the sort key.
            assert_eq!(
                found.damaged.len(),
                usize::from(attribute != "serial_number"),
                "{attribute}"
            );
        }
        let mut without_expiry = item(&[]);
        without_expiry.remove("not_after");
        assert_eq!(read(&without_expiry).entries, [entry]);
        let found = read(&item(&[("SK", string("CERT#whim"))]));
        assert!(found.entries.is_empty());
        assert!(found.damaged[0].to_string().contains("LEDGER#x CERT#whim"), "{:?}", found.damaged);
    }

    #[test]
    fn only_a_grace_period_may_end_in_the_future() {
        let later = number(NOW.plus(1_000_000).unix());
        for reason in RevocationReason::ALL {
            let item = item(&[
                ("revoked_at", later.clone()),
                ("revocation_reason", string(reason.as_str())),
            ]);
            let dates: Vec<_> = read(&item).entries.iter().map(|it| it.revoked_at).collect();
            let expected = if reason == RevocationReason::Superseded { vec![] } else { vec![NOW] };
            assert_eq!(dates, expected, "{reason}");
        }
    }

    #[test]
    fn a_certificate_is_listed_for_a_day_after_its_expiry() {
        let expired = |ago| read(&item(&[("not_after", number(NOW.minus(ago).unix()))]));
        assert!(expired(KEEP_EXPIRED_SECONDS).expired.is_empty());
        let found = expired(KEEP_EXPIRED_SECONDS + 1);
        assert_eq!(found.expired, [SERIAL.parse().unwrap()]);
        assert!(found.entries.is_empty());
    }

    #[test]
    fn an_item_in_another_partition_is_ignored() {
        let found = read(&item(&[("PK", string("DEVICE#x"))]));
        assert!(found.entries.is_empty() && found.damaged.is_empty());
    }
}
