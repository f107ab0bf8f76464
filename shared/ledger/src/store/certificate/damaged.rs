//! Ledger entries that cannot be read, and their revocation, whatever they say.

use aws_sdk_dynamodb::types::AttributeValue;
use pki::{clock::Timestamp, crl::RevocationReason};

use crate::{
    error::{Error, Result},
    store::{
        certificate::entry::LedgerEntry,
        client::Store,
        condition::{Unchanged, is_condition_failure, unchanged},
        device::{standing::DeviceStanding, status::DeviceStatus},
        item::{Item, attribute, from_item, key, number, required, string, to_item},
        layout,
        revocation::report::Report,
    },
};

/// Attempts to revoke an entry that others change.
const ATTEMPTS: u32 = 8;

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
    item: Item,
    /// The fingerprint of the certificate's key, if that is intact.
    pub(crate) key_fingerprint: Option<String>,
}

impl DamagedEntry {
    /// Returns true if this is the entry of a certificate.
    pub(crate) fn is_of(&self, serial_number: &str) -> bool {
        self.sort_key == layout::certificate_sort_key(serial_number)
    }
}

/// Returns true if an item is what was read from it, in the form in which this program writes it: the conditions of
/// writes compare forms. Attributes that other versions may add do not matter.
fn is_intact(entry: &LedgerEntry, item: &Item, sort_key: &str) -> Result<bool> {
    let again = to_item(String::new(), sort_key.into(), entry)?;
    let is_same = again.iter().all(|(name, value)| name == "PK" || item.get(name) == Some(value));
    Ok(is_same
        && !item.values().any(AttributeValue::is_null)
        && is_fingerprint(&entry.key_fingerprint)
        && layout::certificate_sort_key(&entry.serial_number) == sort_key
        && entry.not_before <= entry.not_after
        && entry.revoked_at.is_some() == entry.revocation_reason.is_some())
}

/// Returns true for SHA-256 in hex. Anything else might not do as the key of an item.
fn is_fingerprint(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f'))
}

/// A change that revokes a damaged entry, or puts it on hold.
#[derive(Debug, PartialEq, Eq)]
struct Change {
    time: Time,
    /// The reason to write, unless the one that is there stays.
    reason: Option<RevocationReason>,
}

/// The time of revocation that an entry has after a change.
#[derive(Debug, PartialEq, Eq)]
enum Time {
    Kept,
    Now,
    /// The time that was there is restored when the hold is released.
    NowAndThen,
}

/// Returns how a damaged entry is revoked for `reason`. Nothing if it counts as revoked for another one that
/// weighs as much: a hold that ends must not take a revocation back.
fn change(item: &Item, reason: RevocationReason) -> Option<Change> {
    use RevocationReason::{CertificateHold, Superseded};
    let last = attribute::<RevocationReason>(item, "revocation_reason").ok().flatten();
    let is_permanent = last.is_some_and(|last| !matches!(last, CertificateHold | Superseded));
    let is_on_crl = item.contains_key("revoked_at");
    let change = |time, reason| Some(Change { time, reason });
    match reason {
        _ if is_permanent && is_on_crl => None,
        _ if is_permanent => change(Time::Now, None),
        _ if !is_on_crl => change(Time::Now, Some(reason)),
        CertificateHold if last == Some(Superseded) => change(Time::NowAndThen, Some(reason)),
        CertificateHold => None,
        Superseded if last == Some(Superseded) => None,
        _ if last == Some(CertificateHold) => change(Time::Kept, Some(reason)),
        _ => change(Time::Now, Some(reason)),
    }
}

impl ReadableEntries {
    /// Returns the time to record for a revocation of the device with these entries at `now`. For certificates that
    /// are put on hold with their device, that is not before the device's own hold, and after all holds of single
    /// certificates.
    ///
    /// A release tells the two kinds of hold apart by these times, so their order must not depend on clocks.
    pub(crate) fn time_of(
        &self,
        device: &DeviceStanding,
        reason: RevocationReason,
        now: Timestamp,
    ) -> Timestamp {
        let is_on_hold = |reason| reason == Some(RevocationReason::CertificateHold);
        if !is_on_hold(Some(reason)) {
            return now;
        }
        if device.status == Some(DeviceStatus::Held) {
            return device.revoked_at.map_or(now, |since| since.max(now));
        }
        let intact = self
            .entries
            .iter()
            .filter(|it| is_on_hold(it.revocation_reason))
            .filter_map(|it| it.revoked_at);
        let damaged = self
            .damaged
            .iter()
            .filter(|it| is_on_hold(attribute(&it.item, "revocation_reason").ok().flatten()))
            .filter_map(|it| attribute(&it.item, "revoked_at").ok().flatten());
        intact.chain(damaged).max().map_or(now, |last| last.plus(1).max(now))
    }
}

impl Store {
    /// Reads the entries of a partition of the ledger, and tells those that are damaged apart.
    pub(crate) async fn readable_entries(&self, partition: String) -> Result<ReadableEntries> {
        let mut read = ReadableEntries { entries: Vec::new(), damaged: Vec::new() };
        for item in self.ledger_items(partition).await? {
            let sort_key: String = required(&item, "SK")?;
            match from_item::<LedgerEntry>(item.clone()) {
                Ok(entry) if is_intact(&entry, &item, &sort_key)? => read.entries.push(entry),
                _ => {
                    let key_fingerprint = attribute(&item, "key_fingerprint").ok().flatten();
                    let key_fingerprint = key_fingerprint.filter(|it: &String| is_fingerprint(it));
                    read.damaged.push(DamagedEntry { sort_key, item, key_fingerprint });
                }
            }
        }
        Ok(read)
    }

    /// Revokes damaged entries, or puts them on hold if that is the reason. All of them are in the report, because an
    /// operator has to repair them.
    ///
    /// # Errors
    /// If DynamoDB is unavailable.
    pub(crate) async fn revoke_damaged_entries<'a>(
        &self,
        partition: &str,
        damaged: impl IntoIterator<Item = &'a DamagedEntry>,
        reason: RevocationReason,
        now: Timestamp,
        report: &mut Report,
    ) -> Result<()> {
        for entry in damaged {
            report.add_damaged(&entry.sort_key);
            if let Err(error) = self.revoke_damaged_entry(partition, entry, reason, now).await {
                report.refuse(&entry.sort_key, error)?;
            }
        }
        Ok(())
    }

    async fn revoke_damaged_entry(
        &self,
        partition: &str,
        entry: &DamagedEntry,
        reason: RevocationReason,
        now: Timestamp,
    ) -> Result<()> {
        let key = key(partition.to_owned(), entry.sort_key.clone());
        let mut item = entry.item.clone();
        for _ in 0..ATTEMPTS {
            let Some(change) = change(&item, reason) else {
                return Ok(());
            };
            let Unchanged { condition, names, mut values } =
                unchanged(&item, &["revoked_at", "revocation_reason"]);
            let mut set = match change.time {
                Time::Kept => vec![],
                Time::Now => vec!["revoked_at = :now"],
                Time::NowAndThen => {
                    vec!["revoked_at_before_hold = revoked_at", "revoked_at = :now"]
                }
            };
            if !set.is_empty() {
                values.insert(":now".into(), number(now.unix()));
            }
            if let Some(reason) = change.reason {
                set.push("revocation_reason = :reason");
                values.insert(":reason".into(), string(reason.as_str()));
            }
            let update = self
                .client
                .update_item()
                .table_name(&self.table)
                .set_key(Some(key.clone()))
                .condition_expression(condition)
                .update_expression(format!("SET {}", set.join(", ")))
                .set_expression_attribute_names(Some(names))
                .set_expression_attribute_values(Some(values));
            match update.send().await {
                Ok(_) => return Ok(()),
                Err(error) if is_condition_failure(&error) => {}
                Err(error) => return Err(self.unavailable(&error)),
            }
            match self.get_item_by_key(key.clone()).await? {
                Some(now) => item = now,
                None => return Ok(()),
            }
        }
        Err(Error::Contended)
    }
}

#[cfg(test)]
mod tests {
    use RevocationReason::{CertificateHold, KeyCompromise, Superseded};

    use super::*;

    #[test]
    fn an_entry_is_intact_in_one_form_only() {
        let time = Timestamp::from_unix;
        let entry = LedgerEntry {
            serial_number: "40".into(),
            ca: "device".into(),
            key_fingerprint: "0a".repeat(32),
            tbs_digest: String::new(),
            not_before: time(10),
            not_after: time(20),
            requested_at: time(10),
            verified_at: None,
            withdrawn_at: None,
            superseded_at: None,
            revoked_at: Some(time(15)),
            revocation_reason: Some(Superseded),
            revoked_at_before_hold: None,
        };
        let sort_key = layout::certificate_sort_key("40");
        let item = to_item("LEDGER#x".into(), sort_key.clone(), &entry).unwrap();
        let is_intact = |change: &[(&str, Option<AttributeValue>)]| {
            let mut item = item.clone();
            for (name, value) in change {
                match value {
                    Some(value) => item.insert((*name).to_owned(), value.clone()),
                    None => item.remove(*name),
                };
            }
            let entry: Option<LedgerEntry> = from_item(item.clone()).ok();
            entry.is_some_and(|entry| is_intact(&entry, &item, &sort_key).unwrap())
        };
        assert!(is_intact(&[]));
        assert!(is_intact(&[("revoked_at", None), ("revocation_reason", None)]));
        assert!(is_intact(&[("of_a_later_version", Some(string("x")))]));
        let of_another_form = AttributeValue::M([("superseded".to_owned(), number(1))].into());
        for (name, value) in [
            ("serial_number", Some(string("41"))),
            ("key_fingerprint", Some(string("0A".repeat(32)))),
            ("key_fingerprint", Some(string("0a"))),
            ("not_after", Some(number(9))),
            ("not_after", Some(number("20.0"))),
            ("revoked_at", None),
            ("revocation_reason", None),
            ("revocation_reason", Some(of_another_form)),
            ("superseded_at", Some(AttributeValue::Null(true))),
            ("of_a_later_version", Some(AttributeValue::Null(true))),
            ("ca", None),
        ] {
            assert!(!is_intact(&[(name, value.clone())]), "{name}: {value:?}");
        }
    }

    #[test]
    fn nothing_weakens_a_revocation() {
        let text = |text: &str| Some(string(text));
        let time = Some(number(5));
        let map = Some(AttributeValue::M([("superseded".to_owned(), number(1))].into()));
        for (revoked_at, last, to_hold, to_revoke, to_supersede) in [
            (None, None, true, true, true),
            (None, text("whim"), true, true, true),
            (None, map.clone(), true, true, true),
            (None, text("certificateHold"), true, true, true),
            (None, text("superseded"), true, true, true),
            (None, text("keyCompromise"), true, true, true),
            (time.clone(), None, false, true, true),
            (time.clone(), text("whim"), false, true, true),
            (time.clone(), map, false, true, true),
            (time.clone(), text("certificateHold"), false, true, true),
            (time.clone(), text("superseded"), true, true, false),
            (time, text("cessationOfOperation"), false, false, false),
        ] {
            let case = format!("{revoked_at:?} {last:?}");
            let attributes = [("revoked_at", revoked_at), ("revocation_reason", last)];
            let item: Item = attributes
                .into_iter()
                .filter_map(|(name, value)| Some((name.to_owned(), value?)))
                .collect();
            for (reason, expected) in
                [(CertificateHold, to_hold), (KeyCompromise, to_revoke), (Superseded, to_supersede)]
            {
                let change = change(&item, reason);
                assert_eq!(change.is_some(), expected, "{case} {reason}");
                let is_permanent = item.get("revocation_reason") == Some(&string("keyCompromise"));
                let written = change.and_then(|it| it.reason);
                assert_eq!(written.is_some(), expected && !is_permanent, "{case} {reason}");
            }
        }
    }
}
