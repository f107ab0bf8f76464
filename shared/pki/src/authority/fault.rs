//! Reasons for which a CA cannot issue.

use crate::clock::Timestamp;

/// Why a CA cannot issue.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthorityFault {
    /// Its record holds something else than a usable chain; the text says what.
    #[error("unusable: {0}")]
    Unusable(String),
    /// What it would issue would outlive it.
    #[error("valid until {ca_not_after}, too short for a certificate until {leaf_not_after}")]
    TooShort {
        /// End of the CA's validity.
        ca_not_after: Timestamp,
        /// End of the validity asked for.
        leaf_not_after: Timestamp,
    },
    /// Its certificate, or its root's, is not valid yet.
    #[error("its certificate is not valid before {ca_not_before}")]
    NotYetValid {
        /// Begin of the CA's validity.
        ca_not_before: Timestamp,
    },
    /// Its certificate, or its root's, is not valid any more.
    #[error("its certificate expired at {ca_not_after}")]
    Expired {
        /// End of the CA's validity.
        ca_not_after: Timestamp,
    },
}
