//! A verified CA, identified by its key, with its last valid CRL.

use anyhow::{bail, ensure};
use pki::{
    authority::CaCertificate,
    clock::Timestamp,
    crl::{Freshness, VerifiedCrl},
};

/// A CA of which a CRL has been verified.
pub(crate) struct VerifiedCa {
    name: String,
    certificate: CaCertificate,
    crl: VerifiedCrl,
    checked_at: Option<Timestamp>,
}

impl VerifiedCa {
    pub(crate) fn new(name: String, certificate: CaCertificate, crl: VerifiedCrl) -> Self {
        Self { name, certificate, crl, checked_at: None }
    }

    /// Returns the agent's name for the CA: the first name that the index gave it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn certificate(&self) -> &CaCertificate {
        &self.certificate
    }

    pub(crate) fn crl(&self) -> &VerifiedCrl {
        &self.crl
    }

    /// Returns when the CRL was last known to be the newest.
    pub(crate) fn checked_at(&self) -> Option<Timestamp> {
        self.checked_at
    }

    pub(crate) fn has_key_of(&self, certificate: &CaCertificate) -> bool {
        self.certificate.key() == certificate.key()
    }

    pub(crate) fn replace_crl(&mut self, crl: VerifiedCrl) {
        self.crl = crl;
    }

    pub(crate) fn mark_checked(&mut self, now: Timestamp) {
        self.checked_at = Some(now);
    }

    /// Returns true if the CA's certificate has expired, and with it every certificate that it
    /// issued.
    pub(crate) fn has_expired(&self, now: Timestamp) -> bool {
        self.certificate.not_after() < now
    }
}

/// Checks that a CRL is newer than the known one, and valid now.
///
/// Brokers accept an older CRL that is still valid, and refuse every client under one that is not
/// valid.
pub(crate) fn check_newer(
    new: &VerifiedCrl,
    known: Option<&VerifiedCrl>,
    now: Timestamp,
) -> anyhow::Result<()> {
    if let Some(known) = known {
        let (number, last) = (new.number(), known.number());
        ensure!(number != last, "CRL number {last} is already used by a different CRL");
        ensure!(number > last, "CRL {number} is outdated: CRL {last} was accepted before");
    }
    let number = new.number();
    match new.freshness(now) {
        Freshness::Fresh => Ok(()),
        Freshness::NotYetValid => bail!("CRL {number} is not valid before {}", new.this_update()),
        Freshness::Expired => bail!("CRL {number} expired at {}", new.next_update()),
    }
}
