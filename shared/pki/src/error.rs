//! The errors of this crate.
//!
//! `Display` is for logs: it may name causes, never secrets.

use crate::{authority::fault::AuthorityFault, lint::rule::LintError};

/// A result whose error defaults to [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error in building, checking or reading certificates and CRLs.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The issuing CA cannot issue.
    #[error("issuing CA {name}: {fault}")]
    Authority {
        /// The name of the CA, such as `device`.
        name: String,
        /// The reason.
        fault: AuthorityFault,
    },
    /// The to-be-signed certificate or CRL violates a rule.
    #[error("lint: {0}")]
    Lint(#[from] LintError),
    /// The signature is not by the CA, or not over the bytes that were linted.
    #[error("the signature does not verify with the issuing CA's key")]
    WrongSignature,
    /// ASN.1 could not be encoded or decoded.
    #[error("ASN.1: {0}")]
    Asn1(#[from] der::Error),
}
