//! What a CA's list says at a moment, before it has a number and dates.

use lambda::Result;
use pki::{
    authority::Authority,
    clock::Timestamp,
    crl::{Entry, content_digest},
    hex,
    profile::Usage,
};

use crate::{Publisher, deny_list::Denied};

/// Expired certificates stay in the lists for a day: RFC 5280, section 3.3, wants each in one that is
/// issued after its end, and there is one every [`crate::publication::REFRESH_SECONDS`] at least.
const KEEP_EXPIRED_SECONDS: u64 = 24 * 60 * 60;

/// What a list says.
pub(crate) struct Content {
    /// The revoked certificates.
    pub(crate) revoked: Vec<Entry>,
    /// The denied devices, with the lists of CAs that issue to devices.
    pub(crate) denied: Option<Denied>,
}

impl Content {
    /// What is the same as long as this is, in hex.
    pub(crate) fn digest(&self) -> Result<String> {
        let denied = self.denied.as_ref().map(|denied| &denied.digest);
        Ok(hex(&content_digest(&self.revoked, denied)?))
    }
}

impl Publisher {
    /// Reads what the list of `ca` has to say.
    pub(crate) async fn read(&self, ca: &Authority, now: Timestamp) -> Result<Content> {
        let expired_before = now.minus(KEEP_EXPIRED_SECONDS);
        let revoked = self.store.revoked(ca.name().as_str(), now, expired_before).await?;
        let denied = match ca.name().usage() {
            Usage::Device => Some(Denied::new(self.store.denied_devices().await?)),
            Usage::Server | Usage::Service => None,
        };
        Ok(Content { revoked, denied })
    }
}
