//! Records of CAs as operators set them up, and their status.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::name::AuthorityName;
use crate::clock::Timestamp;

/// The stored record of a subordinate CA, which an operator reviewed. It never changes; the
/// [`AuthorityStatus`] is stored separately.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthorityRecord {
    /// The name in published paths and in the ledger, such as `device` or `device-2`.
    pub name: AuthorityName,
    /// The ARN of the key in KMS.
    pub key_arn: String,
    /// The certificate, in PEM.
    pub certificate_pem: String,
    /// The certificates of the intermediate CAs, nearest first, in PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intermediates_pem: Option<String>,
    /// The certificate of the root, in PEM.
    pub root_pem: String,
    /// The URL of the CRL, which must work as long as the certificates are valid.
    pub crl_url: Option<String>,
    /// The time when the CA was set up.
    pub created_at: Timestamp,
}

impl AuthorityRecord {
    /// Returns true if `other` describes the same CA, whenever it was set up.
    #[must_use]
    pub fn is_same_as(&self, other: &Self) -> bool {
        *self == Self { created_at: self.created_at, ..other.clone() }
    }
}

/// The status of a CA.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AuthorityStatus {
    /// The CA is recorded and published to verifiers, but does not issue yet.
    Prepared,
    /// The CA issues. One CA of each usage is active.
    Active,
    /// The CA no longer issues. Its certificates stay valid, and its CRL is published until the CA expires.
    Retired,
}

impl fmt::Display for AuthorityStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Prepared => "prepared",
            Self::Active => "active",
            Self::Retired => "retired",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Usage;

    #[test]
    fn a_ca_is_the_same_whenever_it_was_set_up() {
        let record = AuthorityRecord {
            name: AuthorityName::first(Usage::Device),
            key_arn: "arn".into(),
            certificate_pem: "certificate".into(),
            intermediates_pem: None,
            root_pem: "root".into(),
            crl_url: None,
            created_at: Timestamp::from_unix(1_800_000_000),
        };
        let later = Timestamp::from_unix(1_900_000_000);
        assert!(record.is_same_as(&AuthorityRecord { created_at: later, ..record.clone() }));
        let other = AuthorityRecord { root_pem: "other".into(), ..record.clone() };
        assert!(!record.is_same_as(&other));
    }

    #[test]
    fn a_status_reads_as_it_is_stored() {
        for status in [AuthorityStatus::Prepared, AuthorityStatus::Active, AuthorityStatus::Retired]
        {
            let stored = serde_json::to_string(&status).unwrap();
            assert_eq!(stored, format!("\"{status}\""));
        }
    }
}
