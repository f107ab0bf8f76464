//! One CA, which is its key: its certificate, which leads to the pinned root, and its last good CRL,
//! after which none is taken that is older.

use anyhow::{bail, ensure};
use pki::{
    authority::CaCertificate,
    clock::Timestamp,
    crl::{Freshness, VerifiedCrl},
};

/// A CA of which there was a good CRL.
pub(crate) struct Authority {
    name: String,
    certificate: CaCertificate,
    crl: VerifiedCrl,
    checked_at: Option<Timestamp>,
}

impl Authority {
    pub(crate) fn new(name: String, certificate: CaCertificate, crl: VerifiedCrl) -> Self {
        Self { name, certificate, crl, checked_at: None }
    }

    /// What it is called here: as the index named it first.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn certificate(&self) -> &CaCertificate {
        &self.certificate
    }

    pub(crate) fn crl(&self) -> &VerifiedCrl {
        &self.crl
    }

    /// When it was last known that there is no newer CRL, or taken the new one.
    pub(crate) fn checked_at(&self) -> Option<Timestamp> {
        self.checked_at
    }

    pub(crate) fn is(&self, certificate: &CaCertificate) -> bool {
        self.certificate.key() == certificate.key()
    }

    pub(crate) fn take(&mut self, crl: VerifiedCrl) {
        self.crl = crl;
    }

    pub(crate) fn checked(&mut self, now: Timestamp) {
        self.checked_at = Some(now);
    }

    /// Whether nothing of it matters any more: its certificate expired, and with it all that it
    /// issued.
    pub(crate) fn is_over(&self, now: Timestamp) -> bool {
        self.certificate.not_after() < now
    }
}

/// Brokers take an older CRL that is still valid, and refuse everyone by one that is not valid.
pub(crate) fn expect_better(
    new: &VerifiedCrl,
    known: Option<&VerifiedCrl>,
    now: Timestamp,
) -> anyhow::Result<()> {
    if let Some(known) = known {
        let (number, last) = (new.number(), known.number());
        ensure!(number != last, "another CRL of the number {last}, which is taken");
        ensure!(number > last, "an old CRL, {number}: {last} was there already");
    }
    match new.freshness(now) {
        Freshness::Fresh => Ok(()),
        Freshness::NotYet => bail!("CRL {} is valid from {} on", new.number(), new.this_update()),
        Freshness::Stale => bail!("CRL {} expired {}", new.number(), new.next_update()),
    }
}
