//! What one CA has to be to come after another.

use super::{chain_certificate::ChainCertificate, fault::AuthorityFault, issuing::Authority};
use crate::error::Result;

impl Authority {
    /// Whether it can stand beside `other`, of whatever usage: as a CA of its own, whose certificates
    /// and CRLs nobody takes for the other's.
    ///
    /// # Errors
    /// When they have a key or a subject in common. CRLs are found by their issuer's name, so that two
    /// CAs of one name hide each other's (RFC 5280, section 4.1.2.6, wants one name for each).
    pub fn check_apart_from(&self, other: &Self) -> Result<()> {
        let name = other.name();
        let is_same_key = self.certificate.key() == other.certificate.key();
        if is_same_key || self.key_arn() == other.key_arn() {
            let text = format!("its key is that of {name}: a successor has a key of its own");
            return Err(self.fault(AuthorityFault::Unusable(text)));
        }
        if self.certificate.subject() == other.certificate.subject() {
            let text =
                format!("its subject is that of {name}: a successor has another common name");
            return Err(self.fault(AuthorityFault::Unusable(text)));
        }
        Ok(())
    }

    /// Whether it can take the place of `other`: verifiers that trust the root of the one trust the
    /// other. A trust anchor is a name and a key (RFC 5280, section 6.1.1 (d)).
    ///
    /// # Errors
    /// When their roots differ.
    pub fn check_anchored_as(&self, other: &Self) -> Result<()> {
        let anchor = |it: &ChainCertificate| (it.subject().clone(), it.public_key().clone());
        if self.above.last().map(anchor) == other.above.last().map(anchor) {
            return Ok(());
        }
        let text = format!("its root is not that of {}, which verifiers trust", other.name());
        Err(self.fault(AuthorityFault::Unusable(text)))
    }
}
