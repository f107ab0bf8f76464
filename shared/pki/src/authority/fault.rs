//! Reasons why a CA cannot issue.

use crate::clock::Timestamp;

/// The reason why a CA cannot issue.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthorityFault {
    /// The record of the CA does not contain a usable chain; the text says why.
    #[error("unusable: {0}")]
    Unusable(String),
    /// The certificate would expire after its CA.
    #[error("it expires at {ca_not_after}, before the requested end of validity, {leaf_not_after}")]
    TooShort {
        /// The end of the CA's validity.
        ca_not_after: Timestamp,
        /// The requested end of validity.
        leaf_not_after: Timestamp,
    },
    /// A certificate of the chain is not valid yet.
    #[error("its certificate is not valid before {ca_not_before}")]
    NotYetValid {
        /// The start of validity of the whole chain.
        ca_not_before: Timestamp,
    },
    /// A certificate of the chain has expired.
    #[error("its certificate expired at {ca_not_after}")]
    Expired {
        /// The end of validity of the whole chain.
        ca_not_after: Timestamp,
    },
}
