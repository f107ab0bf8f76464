//! Options of a project's policy.

use std::collections::BTreeSet;

use ledger::store::PolicyTerms;
use pki::{
    clock::Timestamp,
    key::{KeyKind, KeyKinds},
    names::Organization,
};

use crate::options::time;

pub(super) const HEADING: &str = "Policy";

/// A policy. An option that is not given keeps its value, or has its default in a new project.
#[derive(clap::Args)]
pub(crate) struct PolicyOptions {
    /// Validity of device certificates, in days. A new project has 10957 (30 years).
    #[arg(long, value_name = "DAYS")]
    #[arg(help_heading = HEADING)]
    pub(super) validity_days: Option<u32>,
    /// Time by which all certificates expire, such as 2049-12-31T23:59:59Z or 2050-01-01. They never
    /// outlive their CA. A new project has no cap.
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    #[arg(help_heading = HEADING)]
    pub(super) not_after_cap: Option<Timestamp>,
    /// Grace period of a superseded certificate, in hours, before it is listed on the CRL. A new project
    /// has 24.
    #[arg(long, value_name = "HOURS")]
    #[arg(help_heading = HEADING)]
    pub(super) grace_hours: Option<u32>,
    /// Number of certificates that each device can obtain. A new project has 10.
    #[arg(long, value_name = "CERTIFICATES")]
    #[arg(help_heading = HEADING)]
    pub(super) issuance_limit: Option<u32>,
    /// Allowed kinds of keys that devices generate, separated by commas: p256, p384, ed25519, rsa. A new
    /// project allows all.
    #[arg(long, value_name = "KINDS", value_delimiter = ',')]
    #[arg(help_heading = HEADING)]
    key_kinds: Vec<KeyKind>,
    /// Allow or refuse key pairs that the server generates (GET /identity). A new project allows them.
    #[arg(long, value_enum, value_name = "allowed|refused", hide_possible_values = true)]
    #[arg(help_heading = HEADING)]
    server_generated_keys: Option<Permission>,
    /// Organization in the subject of all certificates. A new project has none.
    #[arg(long, value_name = "NAME")]
    #[arg(help_heading = HEADING)]
    pub(super) organization: Option<Organization>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Permission {
    Allowed,
    Refused,
}

impl PolicyOptions {
    /// Returns `terms` with the given options applied.
    pub(super) fn terms(self, terms: PolicyTerms) -> PolicyTerms {
        PolicyTerms {
            key_kinds: self.key_kinds().unwrap_or(terms.key_kinds),
            server_generated_keys: self
                .server_generated_keys()
                .unwrap_or(terms.server_generated_keys),
            validity_days: self.validity_days.unwrap_or(terms.validity_days),
            grace_hours: self.grace_hours.unwrap_or(terms.grace_hours),
            issuance_limit: self.issuance_limit.unwrap_or(terms.issuance_limit),
            not_after_cap: self.not_after_cap.or(terms.not_after_cap),
            organization: self.organization.or(terms.organization),
        }
    }

    /// Returns the kinds of keys, if any were given.
    pub(super) fn key_kinds(&self) -> Option<KeyKinds> {
        KeyKinds::try_from(self.key_kinds.iter().copied().collect::<BTreeSet<_>>()).ok()
    }

    pub(super) fn server_generated_keys(&self) -> Option<bool> {
        self.server_generated_keys.map(|it| matches!(it, Permission::Allowed))
    }
}
