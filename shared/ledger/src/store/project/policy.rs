//! The policy for the certificates of a project's devices.

use pki::{clock::Timestamp, key::KeyKinds, names::Organization};
use serde::{Deserialize, Serialize};

const DAY: u64 = 24 * 60 * 60;

/// What a project's devices get. Functions may hold to the one of a minute ago.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "PolicyTerms", into = "PolicyTerms")]
pub struct Policy(PolicyTerms);

/// A policy's terms, before anybody looked whether they make sense.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyTerms {
    /// For how many days a certificate is valid.
    pub validity_days: u32,
    /// How many hours a superseded certificate stays off the CRL.
    pub grace_hours: u32,
    /// How many certificates a device may be issued.
    pub issuance_limit: u32,
    /// When every certificate expires at the latest: AWS IoT, for one, takes none that lives beyond
    /// 2049-12-31T23:59:59Z.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after_cap: Option<Timestamp>,
    /// Of which kinds the keys may be that devices bring along.
    #[serde(default = "KeyKinds::all")]
    pub key_kinds: KeyKinds,
    /// Whether devices may also be given key pairs.
    #[serde(default = "allowed")]
    pub server_generated_keys: bool,
    /// The organization in the subject of every certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization: Option<Organization>,
}

/// Of policies that were stored before there was a choice.
fn allowed() -> bool {
    true
}

/// A policy out of bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PolicyError(&'static str);

impl Policy {
    /// Thirty years, leap days included.
    pub const DEFAULT_VALIDITY_DAYS: u32 = 10_957;
    /// A day.
    pub const DEFAULT_GRACE_HOURS: u32 = 24;
    /// The first identity and nine recoveries.
    pub const DEFAULT_ISSUANCE_LIMIT: u32 = 10;

    /// A policy: how many days a certificate is valid, how many hours a superseded one still is,
    /// and how many a device may be issued. All else is as it is unless set.
    ///
    /// # Errors
    /// When a number makes no sense.
    pub fn new(
        validity_days: u32,
        grace_hours: u32,
        issuance_limit: u32,
    ) -> Result<Self, PolicyError> {
        let terms = Self::default().0;
        Self::try_from(PolicyTerms { validity_days, grace_hours, issuance_limit, ..terms })
    }

    /// Checks that certificates can be issued under it at `now`.
    ///
    /// # Errors
    /// When its cap is past.
    pub fn check(&self, now: Timestamp) -> Result<(), PolicyError> {
        match self.0.not_after_cap {
            Some(cap) if cap <= now => {
                Err(PolicyError("the cap of the validity is past: no certificate could be issued"))
            }
            _ => Ok(()),
        }
    }

    /// Its terms.
    #[must_use]
    pub fn terms(&self) -> &PolicyTerms {
        &self.0
    }

    /// When a certificate that is issued at `now` expires: with its validity, or at the cap, or with the
    /// CA at `ca_not_after`, whichever comes first.
    #[must_use]
    pub fn not_after(&self, now: Timestamp, ca_not_after: Timestamp) -> Timestamp {
        let own = now.plus(u64::from(self.0.validity_days) * DAY);
        own.min(self.0.not_after_cap.unwrap_or(Timestamp::NEVER)).min(ca_not_after)
    }

    /// How long a superseded certificate stays off the CRL.
    #[must_use]
    pub fn grace_seconds(&self) -> u64 {
        u64::from(self.0.grace_hours) * 60 * 60
    }

    /// How many certificates a device may be issued.
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
                Err(PolicyError("the grace period may be 8760 hours at most"))
            }
            () if terms.issuance_limit == 0 => {
                Err(PolicyError("the issuance limit must be 1 at least"))
            }
            () if terms.not_after_cap.is_some_and(|cap| cap > Timestamp::NEVER) => {
                Err(PolicyError("there is no year 10000 in a certificate"))
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
    fn a_policy_from_before_allows_what_it_did() {
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
