//! The content of a CA's CRL, before it has a number and dates.

use lambda::Result;
use ledger::store::Store;
use pki::{
    authority::Authority,
    clock::Timestamp,
    crl::{Entry, KEEP_EXPIRED_SECONDS, content_digest},
    hex,
    profile::Usage,
};

use crate::deny_list::DenyList;

/// The content of a CRL.
pub(crate) struct CrlContent {
    /// The revoked certificates.
    pub(crate) revoked: Vec<Entry>,
    /// The deny list, if the CA issues to devices.
    pub(crate) denied: Option<DenyList>,
}

impl CrlContent {
    /// Reads the content of the CRL of `ca` from the ledger.
    pub(crate) async fn read(store: &Store, ca: &Authority, now: Timestamp) -> Result<Self> {
        let expired_before = now.minus(KEEP_EXPIRED_SECONDS);
        let revoked = store.revoked_certificates(ca.name().as_str(), now, expired_before).await?;
        let denied = match ca.name().usage() {
            Usage::Device => Some(DenyList::new(store.denied_devices().await?)),
            Usage::Server | Usage::Service => None,
        };
        Ok(Self { revoked, denied })
    }

    /// Returns the digest of the content in hex, which is equal for equal content.
    pub(crate) fn digest(&self) -> Result<String> {
        let denied = self.denied.as_ref().map(|denied| &denied.digest);
        Ok(hex(&content_digest(&self.revoked, denied)?))
    }
}
