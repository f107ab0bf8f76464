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

#[cfg(test)]
mod tests {
    use super::super::{
        AuthorityName, AuthorityRecord,
        foreign::{Foreign, ca},
    };
    use super::*;

    /// Returns the CA of a record, with a name and a key in KMS of its own.
    fn authority(record: AuthorityRecord, name: &str) -> Authority {
        let name: AuthorityName = name.parse().unwrap();
        Authority::try_from(AuthorityRecord { key_arn: name.to_string(), name, ..record }).unwrap()
    }

    fn verdict(checked: Result<()>) -> String {
        checked.map_or_else(|error| error.to_string(), |()| "good".into())
    }

    #[test]
    fn a_successor_has_a_key_and_a_subject_of_its_own() {
        let root = Foreign::root("Root", ca(None, b"root"));
        let one = root.issue("One", ca(Some(0), b"one"));
        let first = authority(one.record(&root), "device");
        let same_key = root.issue_to("Two", one.key.clone(), ca(Some(0), b"one"));
        let same_name = root.issue("One", ca(Some(0), b"two"));
        let other = root.issue("Two", ca(Some(0), b"two"));
        for (next, expected) in [
            (authority(other.record(&root), "device-2"), "good"),
            // The record names the same key in KMS.
            (authority(other.record(&root), "device"), "its key is that of device"),
            (authority(same_key.record(&root), "device-2"), "its key is that of device"),
            (authority(same_name.record(&root), "device-2"), "its subject is that of device"),
        ] {
            let verdict = verdict(next.check_distinct_from(&first));
            assert!(verdict.contains(expected), "{verdict}, not {expected}");
        }
    }

    #[test]
    fn a_root_is_its_name_and_its_key() {
        let root = Foreign::root("Root", ca(None, b"root"));
        let first = authority(root.issue("One", ca(Some(0), b"one")).record(&root), "device");
        let renewed = root.issue_to("Root", root.key.clone(), ca(None, b"root"));
        let namesake = Foreign::root("Root", ca(None, b"root"));
        for (root, expected) in
            [(root, "good"), (renewed, "good"), (namesake, "its root is not that of device")]
        {
            let next = root.issue("Two", ca(Some(0), b"two")).record(&root);
            let verdict = verdict(authority(next, "device-2").check_same_root_as(&first));
            assert!(verdict.contains(expected), "{verdict}, not {expected}");
        }
    }
}
