//! A CA as an operator set it up, and where it is in its life.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::name::AuthorityName;
use crate::clock::Timestamp;

/// A subordinate CA as it is stored: what an operator set up and reviewed. It never changes; whether
/// it issues is said elsewhere ([`AuthorityStatus`]).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthorityRecord {
    /// Its name in the API's paths and on the ledger, such as `device` or `device-2`.
    pub name: AuthorityName,
    /// ARN of its key in KMS.
    pub key_arn: String,
    /// Its certificate.
    pub certificate_pem: String,
    /// Those of the CAs between it and its root, nearest first, one after the other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intermediates_pem: Option<String>,
    /// Its root's, which signed it or the last of those between.
    pub root_pem: String,
    /// Where its CRL is found, for as long as its certificates live.
    pub crl_url: Option<String>,
    /// When it was set up.
    pub created_at: Timestamp,
}

impl AuthorityRecord {
    /// Whether `other` describes the very same CA, whenever it was set up.
    #[must_use]
    pub fn is_same_as(&self, other: &Self) -> bool {
        *self == Self { created_at: self.created_at, ..other.clone() }
    }
}

/// Where a CA is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AuthorityStatus {
    /// Recorded, and published to verifiers; it does not issue yet.
    Prepared,
    /// It issues: one does of each usage.
    Active,
    /// It issues no more. Its certificates stay good, and its CRL is kept up until it expires.
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
