//! An operator's changes to a project.

use pki::{
    clock::Timestamp,
    key::KeyKinds,
    names::{Label, Organization},
};

use super::policy::{Policy, PolicyError};
use crate::store::change::Change;

/// An operator's changes to a project, not yet checked.
#[derive(Clone, Debug, Default)]
pub struct ProjectTerms {
    /// The name, for people.
    pub name: Option<Label>,
    /// Validity of a certificate, in days.
    pub validity_days: Option<u32>,
    /// Grace period after which a superseded certificate is revoked, in hours.
    pub grace_hours: Option<u32>,
    /// Maximum number of certificates that a device may be issued.
    pub issuance_limit: Option<u32>,
    /// Latest expiry of any certificate.
    pub not_after_cap: Change<Timestamp>,
    /// Kinds of keys that are allowed for keys that devices generate.
    pub key_kinds: Option<KeyKinds>,
    /// True if devices may also request a key pair that the function `identity` generates.
    pub server_generated_keys: Option<bool>,
    /// The organization in the subject of every certificate.
    pub organization: Change<Organization>,
}

/// An operator's changes to a project, within the policy's bounds. They take effect in one write.
#[derive(Clone, Debug)]
pub struct ProjectChanges(pub(crate) ProjectTerms);

impl ProjectChanges {
    /// Checks an operator's changes at `now`.
    ///
    /// # Errors
    /// If a term is out of bounds, or the cap is past.
    pub fn new(terms: ProjectTerms, now: Timestamp) -> Result<Self, PolicyError> {
        // No term's bounds depend on another term, so checking against the defaults suffices.
        let mut policy = Policy::default().terms().clone();
        policy.validity_days = terms.validity_days.unwrap_or(policy.validity_days);
        policy.grace_hours = terms.grace_hours.unwrap_or(policy.grace_hours);
        policy.issuance_limit = terms.issuance_limit.unwrap_or(policy.issuance_limit);
        if let Change::Set(cap) = terms.not_after_cap {
            policy.not_after_cap = Some(cap);
        }
        Policy::try_from(policy)?.check(now)?;
        Ok(Self(terms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_have_the_same_bounds() {
        let now = Timestamp::from_unix(1_000);
        let new = |terms| ProjectChanges::new(terms, now);
        let past = Change::Set(now);
        assert!(new(ProjectTerms { not_after_cap: past, ..Default::default() }).is_err());
        assert!(new(ProjectTerms { validity_days: Some(0), ..Default::default() }).is_err());
        assert!(new(ProjectTerms { grace_hours: Some(8_761), ..Default::default() }).is_err());
        assert!(new(ProjectTerms { issuance_limit: Some(0), ..Default::default() }).is_err());
        assert!(new(ProjectTerms::default()).is_ok());
    }
}
