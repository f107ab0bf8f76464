//! The policy for the certificates of a project's devices.

use pki::{clock::Timestamp, key::KeyKinds, names::Organization};
use serde::{Deserialize, Serialize};

/// One day, in seconds.
const DAY: u64 = 24 * 60 * 60;

/// A project's policy, within its bounds. Functions cache it for up to a minute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "PolicyTerms", into = "PolicyTerms")]
pub struct Policy(PolicyTerms);

/// The terms of a policy, not yet checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyTerms {
    /// Validity of a certificate, in days.
    pub validity_days: u32,
    /// Grace period after which a superseded certificate is revoked, in hours.
    pub grace_hours: u32,
    /// Maximum number of certificates that a device may be issued.
    pub issuance_limit: u32,
    /// Latest expiry of any certificate. AWS IoT, for example, refuses certificates that expire after
    /// 2049-12-31T23:59:59Z.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after_cap: Option<Timestamp>,
    /// Kinds of keys that are allowed for keys that devices generate.
    #[serde(default = "KeyKinds::all")]
    pub key_kinds: KeyKinds,
    /// True if devices may also request a key pair that the function `identity` generates.
    #[serde(default = "allowed")]
    pub server_generated_keys: bool,
    /// The organization in the subject of every certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization: Option<Organization>,
}

/// The default for policies that were stored before this term existed.
fn allowed() -> bool {
    true
}

/// An error for a policy that is out of bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PolicyError(&'static str);

impl Policy {
    /// Thirty years, including leap days.
    pub const DEFAULT_VALIDITY_DAYS: u32 = 10_957;
    /// One day.
    pub const DEFAULT_GRACE_HOURS: u32 = 24;
    /// The first identity and nine recoveries.
    pub const DEFAULT_ISSUANCE_LIMIT: u32 = 10;

    /// Returns a policy with these terms, and defaults for all others.
    ///
    /// # Errors
    /// If a term is out of bounds.
    pub fn new(
        validity_days: u32,
        grace_hours: u32,
        issuance_limit: u32,
    ) -> Result<Self, PolicyError> {
        let terms = Self::default().0;
        Self::try_from(PolicyTerms { validity_days, grace_hours, issuance_limit, ..terms })
    }

    /// Checks that certificates can be issued under this policy at `now`.
    ///
    /// # Errors
    /// If the cap is past.
    pub fn check(&self, now: Timestamp) -> Result<(), PolicyError> {
        match self.0.not_after_cap {
            Some(cap) if cap <= now => {
                Err(PolicyError("the expiry cap is past: no certificate could be issued"))
            }
            _ => Ok(()),
        }
    }

    /// Returns the terms.
    #[must_use]
    pub fn terms(&self) -> &PolicyTerms {
        &self.0
    }

    /// Returns the expiry of a certificate issued at `now`: the end of its validity, the cap, or the CA's
    /// expiry `ca_not_after`, whichever comes first.
    #[must_use]
    pub fn not_after(&self, now: Timestamp, ca_not_after: Timestamp) -> Timestamp {
        let validity_end = now.plus(u64::from(self.0.validity_days) * DAY);
        validity_end.min(self.0.not_after_cap.unwrap_or(Timestamp::NEVER)).min(ca_not_after)
    }

    /// Returns the grace period of superseded certificates, in seconds.
    #[must_use]
    pub fn grace_seconds(&self) -> u64 {
        u64::from(self.0.grace_hours) * 60 * 60
    }

    /// Returns the maximum number of certificates that a device may be issued.
    #[must_use]
    pub fn issuance_limit(&self) -> u32 {
        self.0.issuance_limit
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self(PolicyTerms {
            validity_days: Self::DEFAULT_VALIDITY_DAYS,
            grace_hours: Self::DEFAULT_GRACE_HOURS,
            issuance_limit: Self::DEFAULT_ISSUANCE_LIMIT,
            not_after_cap: None,
            key_kinds: KeyKinds::all(),
            server_generated_keys: true,
            organization: None,
        })
    }
}

impl TryFrom<PolicyTerms> for Policy {
    type Error = PolicyError;

    fn try_from(terms: PolicyTerms) -> Result<Self, PolicyError> {
        match () {
            () if !(1..=36_525).contains(&terms.validity_days) => {
                Err(PolicyError("the validity must be 1 to 36525 days (100 years)"))
            }
            () if terms.grace_hours > 8_760 => {
                Err(PolicyError("the grace period must be at most 8760 hours"))
            }
            () if terms.issuance_limit == 0 => {
                Err(PolicyError("the issuance limit must be at least 1"))
            }
            () if terms.not_after_cap.is_some_and(|cap| cap > Timestamp::NEVER) => {
                Err(PolicyError("the expiry cap must be before the year 10000"))
            }
            () => Ok(Self(terms)),
        }
    }
}

impl From<Policy> for PolicyTerms {
    fn from(policy: Policy) -> Self {
        policy.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_has_bounds() {
        assert!(Policy::new(1, 0, 1).is_ok());
        assert!(Policy::new(0, 0, 1).is_err());
        assert!(Policy::new(36_526, 0, 1).is_err());
        assert!(Policy::new(1, 8_761, 1).is_err());
        assert!(Policy::new(1, 0, 0).is_err());
    }

    #[test]
    fn a_stored_policy_is_checked_too() {
        let stored = r#"{"validity_days":0,"grace_hours":24,"issuance_limit":10}"#;
        assert!(serde_json::from_str::<Policy>(stored).is_err());
        let stored = r#"{"validity_days":1,"grace_hours":24,"issuance_limit":10,"key_kinds":[]}"#;
        assert!(serde_json::from_str::<Policy>(stored).is_err());
    }

    #[test]
    fn a_policy_without_newer_terms_has_their_defaults() {
        let stored = r#"{"validity_days":10957,"grace_hours":24,"issuance_limit":10}"#;
        assert_eq!(serde_json::from_str::<Policy>(stored).unwrap(), Policy::default());
        let all = serde_json::to_string(&Policy::default()).unwrap();
        assert_eq!(serde_json::from_str::<Policy>(&all).unwrap(), Policy::default());
    }

    #[test]
    fn a_certificate_ends_with_whatever_ends_first() {
        let now = Timestamp::from_unix(1_000);
        let policy = |cap: Option<u64>| {
            let not_after_cap = cap.map(Timestamp::from_unix);
            Policy::try_from(PolicyTerms { validity_days: 1, not_after_cap, ..Policy::default().0 })
        };
        for (cap, ca, expected) in [
            (None, 100_000, 87_400),
            (Some(90_000), 100_000, 87_400),
            (Some(5_000), 100_000, 5_000),
            (Some(5_000), 4_000, 4_000),
            (None, 4_000, 4_000),
        ] {
            let not_after = policy(cap).unwrap().not_after(now, Timestamp::from_unix(ca));
            assert_eq!(not_after, Timestamp::from_unix(expected), "{cap:?} {ca}");
        }
        assert!(policy(Some(1_000)).unwrap().check(now).is_err());
        assert!(policy(Some(1_001)).unwrap().check(now).is_ok());
        assert!(policy(Some(253_402_300_800)).is_err());
    }
}
