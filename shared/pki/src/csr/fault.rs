//! Errors in CSRs.

use crate::key::{KeyFault, SignatureFault};

/// An error in a CSR.
///
/// `Display` is for the sender of the CSR: the API returns it as the `detail` of a problem document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CsrError {
    /// The CSR is malformed; the text says how.
    #[error("{0}")]
    Form(&'static str),
    /// The input contains a private key, beside the CSR or in its place.
    #[error(
        "the input contains a private key, which is exposed now: generate a new key, and send only the \
         CSR for it"
    )]
    PrivateKey,
    /// The key is not accepted.
    #[error("{0}")]
    Key(#[from] KeyFault),
    /// The CSR is not signed with the key that it contains (RFC 2986, section 4.2).
    #[error("the CSR is not signed with its own key: {0}")]
    Signature(#[from] SignatureFault),
}
