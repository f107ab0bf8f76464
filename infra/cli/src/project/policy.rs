//! A policy on the command line.

use std::collections::BTreeSet;

use ledger::store::PolicyTerms;
use pki::{
    clock::Timestamp,
    key::{KeyKind, KeyKinds},
    names::Organization,
};

use crate::moment;

/// What is not given stays as it is, or is as it is unless set.
#[derive(clap::Args)]
pub(crate) struct PolicyArguments {
    /// Days that a device's certificate is valid: 10957, thirty years, unless set.
    #[arg(long, value_name = "DAYS")]
    pub(super) validity_days: Option<u32>,
    /// When every certificate expires at the latest, as 2049-12-31T23:59:59Z or 2050-01-01. A CA's own end
    /// is the latest anyway.
    #[arg(long, value_name = "TIME", value_parser = moment::parse)]
    pub(super) not_after_cap: Option<Timestamp>,
    /// Hours that a superseded certificate stays off the CRL: 24 unless set.
    #[arg(long, value_name = "HOURS")]
    pub(super) grace_hours: Option<u32>,
    /// Certificates that one device may be issued: 10 unless set.
    #[arg(long, value_name = "CERTIFICATES")]
    pub(super) issuance_limit: Option<u32>,
    /// The kinds of keys that devices may bring along: some of p256, p384, ed25519 and rsa, with commas
    /// between. All of them unless set.
    #[arg(long, value_name = "KINDS", value_delimiter = ',')]
    key_kinds: Vec<KeyKind>,
    /// Whether devices may also be given a key pair, with GET /identity: allowed unless set.
    #[arg(long, value_enum, value_name = "allowed|refused", hide_possible_values = true)]
    server_generated_keys: Option<Permission>,
    /// The organization in the subject of every certificate: none unless set.
    #[arg(long, value_name = "NAME")]
    pub(super) organization: Option<Organization>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Permission {
    Allowed,
    Refused,
}

impl PolicyArguments {
    /// The policy `terms`, but for what was given.
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

    /// None given is none changed.
    pub(super) fn key_kinds(&self) -> Option<KeyKinds> {
        KeyKinds::try_from(self.key_kinds.iter().copied().collect::<BTreeSet<_>>()).ok()
    }

    pub(super) fn server_generated_keys(&self) -> Option<bool> {
        self.server_generated_keys.map(|it| matches!(it, Permission::Allowed))
    }
}
