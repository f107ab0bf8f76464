//! The content of a CA's CRL, before it has a number and dates.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use lambda::Result;
use ledger::store::{RevocationCheck, RevokedCertificates, Store};
use pki::{
    authority::Authority,
    clock::Timestamp,
    crl::{Entry, VerifiedCrl, content_digest},
    hex,
    names::DeviceId,
};

use crate::{
    deny_list::DenyList,
    published::{Published, PublishedDenyList},
};

/// Concurrent reads of what is published and not in the index.
const CONCURRENT_CHECKS: usize = 32;
/// The most of these checks for one CRL. Beyond it, what is published stays for another round. With two reads of
/// 5 ms each, they take some three seconds.
const MOST_CHECKS: usize = 10_000;

/// The content of a CRL.
pub(crate) struct CrlContent {
    /// The revoked certificates.
    pub(crate) revoked: Vec<Entry>,
    /// The deny list, if the CA issues to devices.
    pub(crate) denied: Option<DenyList>,
    /// The damaged items and files, and the reasons. None of them takes anything out of the content.
    pub(crate) damaged: Vec<String>,
}

impl CrlContent {
    /// Reads the content of the CRL of `ca`: what the index has, and what is published and not released on the
    /// ledger. The index lags behind the table by any time.
    pub(crate) async fn read(
        store: &Store,
        ca: &Authority,
        published: &Published,
        now: Timestamp,
    ) -> Result<Self> {
        let mut damaged = published.damaged.clone();
        let revoked =
            revoked(store, ca.name().as_str(), published.crl.as_ref(), now, &mut damaged).await?;
        let denied = match &published.deny_list {
            Some(published) => Some(denied(store, published, &mut damaged).await?),
            None => None,
        };
        Ok(Self { revoked, denied, damaged })
    }

    /// Returns true if this is what is published.
    pub(crate) fn is_published(&self, published: &Published) -> bool {
        let is_listed = published.crl.as_ref().is_some_and(|crl| {
            crl.revoked().eq(self.revoked.iter().copied())
                && crl.denied_devices() == self.denied.as_ref().map(|denied| &denied.digest)
        });
        let is_denied = match (&self.denied, &published.deny_list) {
            (Some(denied), Some(published)) => {
                published.digest == Some(denied.digest)
                    && published.rules_digest == denied.digest_hex()
            }
            _ => true,
        };
        is_listed && is_denied
    }

    /// Returns the digest of the content in hex, which is equal for equal content.
    pub(crate) fn digest(&self) -> Result<String> {
        let denied = self.denied.as_ref().map(|denied| &denied.digest);
        Ok(hex(&content_digest(&self.revoked, denied)?))
    }
}

/// Returns the entries of the CRL, sorted by serial number.
async fn revoked(
    store: &Store,
    ca: &str,
    published: Option<&VerifiedCrl>,
    now: Timestamp,
    damaged: &mut Vec<String>,
) -> Result<Vec<Entry>> {
    let published_at = published.map(VerifiedCrl::this_update);
    let RevokedCertificates { mut entries, expired, damaged: items } =
        store.revoked_certificates(ca, now, published_at).await?;
    damaged.extend(items.iter().map(ToString::to_string));
    let mut missing = Vec::new();
    for entry in published.into_iter().flat_map(VerifiedCrl::revoked) {
        match entries.binary_search_by_key(&entry.serial, |it| it.serial) {
            // The ledger has a time in the future, or none that can be read. The published time stays, so that
            // the content does not change with every look.
            Ok(place) if entries[place].revoked_at == now => {
                entries[place].revoked_at = entry.revoked_at.min(now);
            }
            Ok(_) => {}
            Err(_) if expired.binary_search(&entry.serial).is_ok() => {}
            Err(_) => missing.push(entry),
        }
    }
    if missing.is_empty() {
        return Ok(entries);
    }
    let unchecked = missing.split_off(missing.len().min(MOST_CHECKS));
    let checks: Vec<_> = stream::iter(missing)
        .map(async |entry| {
            store.check_revocation(ca, &entry, now).await.map(|check| (entry, check))
        })
        .buffer_unordered(CONCURRENT_CHECKS)
        .try_collect()
        .await?;
    entries.reserve_exact(checks.len() + unchecked.len());
    for (entry, check) in checks {
        match check {
            RevocationCheck::Revoked => entries.push(entry),
            RevocationCheck::Unknown(reason) => {
                damaged.push(format!("revoked certificate {}: {reason}", entry.serial));
                entries.push(entry);
            }
            RevocationCheck::Released | RevocationCheck::Expired => {}
        }
    }
    report_unchecked("revoked certificates", unchecked.len(), damaged);
    entries.extend(unchecked);
    entries.sort_unstable_by_key(|entry| entry.serial);
    Ok(entries)
}

/// Returns the deny list.
async fn denied(
    store: &Store,
    published: &PublishedDenyList,
    damaged: &mut Vec<String>,
) -> Result<DenyList> {
    let index = store.denied_devices().await?;
    damaged.extend(index.damaged.iter().map(ToString::to_string));
    let mut devices = index.records;
    let is_missing = |device: &&DeviceId| devices.binary_search(device).is_err();
    let mut missing: Vec<_> = published.devices.iter().filter(is_missing).copied().collect();
    let unchecked = missing.split_off(missing.len().min(MOST_CHECKS));
    let checks: Vec<_> = stream::iter(missing)
        .map(async |device| store.is_denied(device).await.map(|denied| (device, denied)))
        .buffer_unordered(CONCURRENT_CHECKS)
        .try_collect()
        .await?;
    devices.extend(checks.into_iter().filter(|(_, denied)| *denied).map(|(device, _)| device));
    report_unchecked("denied devices", unchecked.len(), damaged);
    devices.extend(unchecked);
    devices.sort_unstable();
    Ok(DenyList::new(devices))
}

fn report_unchecked(what: &str, count: usize, damaged: &mut Vec<String>) {
    if count > 0 {
        damaged.push(format!("{count} published {what} are not in the index and were not checked"));
    }
}
