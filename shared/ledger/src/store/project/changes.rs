//! Changes that an operator makes to a project.

use pki::{
    clock::Timestamp,
    key::KeyKinds,
    names::{Label, Organization},
};

use super::policy::{Policy, PolicyError};
use crate::store::change::Change;

/// What an operator changes about a project, before anybody looked whether it makes sense.
#[derive(Clone, Debug, Default)]
pub struct ProjectTerms {
    /// For people.
    pub name: Option<Label>,
    /// For how many days a certificate is valid.
    pub validity_days: Option<u32>,
    /// How many hours a superseded certificate stays off the CRL.
    pub grace_hours: Option<u32>,
    /// How many certificates a device may be issued.
    pub issuance_limit: Option<u32>,
    /// When every certificate expires at the latest.
    pub not_after_cap: Change<Timestamp>,
    /// Of which kinds the keys may be that devices bring along.
    pub key_kinds: Option<KeyKinds>,
    /// Whether devices may also be given key pairs.
    pub server_generated_keys: Option<bool>,
    /// The organization in the subject of every certificate.
    pub organization: Change<Organization>,
}

/// What an operator changes about a project. It all takes effect in one write.
#[derive(Clone, Debug)]
pub struct ProjectChanges(pub(in crate::store) ProjectTerms);

impl ProjectChanges {
    /// The changes of an operator at `now`.
    ///
    /// # Errors
    /// When a term is out of its bounds, or the cap is past.
    pub fn new(terms: ProjectTerms, now: Timestamp) -> Result<Self, PolicyError> {
        // No term's bounds depend on another: what holds among the defaults holds anywhere.
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
    fn a_change_is_held_to_the_same_bounds() {
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
