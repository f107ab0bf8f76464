//! Requirements on a CA that succeeds another.

use super::{fault::AuthorityFault, issuing::Authority};
use crate::error::Result;

impl Authority {
    /// Checks that verifiers can tell this CA from `other`, of any usage.
    ///
    /// # Errors
    /// If the two have the same key or the same subject. Verifiers find a CRL by its issuer's name, so CAs
    /// with the same name hide each other's CRLs (RFC 5280, section 4.1.2.6, requires unique names).
    pub fn check_distinct_from(&self, other: &Self) -> Result<()> {
        let name = other.name();
        let is_same_key = self.certificate.key() == other.certificate.key();
        if is_same_key || self.key_arn() == other.key_arn() {
            let text = format!("its key is that of {name}: a successor needs a key of its own");
            return Err(self.fault(AuthorityFault::Unusable(text)));
        }
        if self.certificate.subject() == other.certificate.subject() {
            let text = format!(
                "its subject is that of {name}: a successor needs a common name of its own"
            );
            return Err(self.fault(AuthorityFault::Unusable(text)));
        }
        Ok(())
    }

    /// Checks that verifiers that trust `other` trust this CA: the two have the same root, as a
    /// [trust anchor](super::ChainCertificate::is_same_anchor).
    ///
    /// # Errors
    /// If the roots differ.
    pub fn check_same_root_as(&self, other: &Self) -> Result<()> {
        if let (Some(root), Some(other)) = (self.above.last(), other.above.last())
            && root.is_same_anchor(other.subject(), other.public_key())
        {
            return Ok(());
        }
        let text = format!("its root is not that of {}, which verifiers trust", other.name());
        Err(self.fault(AuthorityFault::Unusable(text)))
    }
}
