//! The errors of a function: reasons to refuse a request, and failures.
//!
//! [`problem`](crate::problem) turns them into HTTP responses. `Display` is for the log: it may name
//! causes, but never secrets.

use pki::{csr::CsrError, key::KeyKinds};

use crate::config::ConfigError;

/// A result with [`Error`] as the default error.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The reason why a request failed, or why a function cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request has no well-formed enrollment token.
    #[error("enrollment token refused: {0}")]
    EnrollmentToken(CredentialFault),
    /// The request has no well-formed device token.
    #[error("device token refused: {0}")]
    DeviceToken(CredentialFault),
    /// The certificate signing request cannot be granted. The text quotes nothing from it.
    #[error("invalid certificate signing request: {0}")]
    Csr(#[from] CsrError),
    /// The form is invalid. The text gives the reason and quotes nothing from the form.
    #[error("invalid form: {0}")]
    Form(&'static str),
    /// The body is larger than this operation accepts.
    #[error("body longer than {limit} bytes")]
    BodyTooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// This operation does not read the content type.
    #[error("content type not supported")]
    UnsupportedMediaType {
        /// A sentence that tells the caller what to send instead.
        instead: &'static str,
    },
    /// No function serves this path.
    #[error("no such path")]
    NotFound,
    /// The path is served, but not for this method.
    #[error("method not allowed")]
    MethodNotAllowed {
        /// The allowed methods, as in the `Allow` header.
        allow: &'static str,
    },
    /// The project does not generate keys for its devices.
    #[error("server-generated keys not allowed by the project")]
    GeneratedKeysNotAllowed,
    /// The project does not allow keys of this kind.
    #[error("key kind not allowed by the project; allowed: {allowed}")]
    KeyKindNotAllowed {
        /// The allowed kinds.
        allowed: KeyKinds,
    },

    /// The ledger refused or failed.
    #[error(transparent)]
    Ledger(#[from] ledger::Error),
    /// Some CRLs could not be published. The log has the cause of each.
    #[error("not published: {0}")]
    Unpublished(String),
    /// A document cannot be written as JSON.
    #[error("JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// The configuration of the function is invalid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The Lambda runtime API is unavailable.
    #[error("Lambda runtime: {0}")]
    Runtime(String),
}

/// A fault of a credential that the request alone shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialFault {
    /// The credential is missing.
    #[error("missing")]
    Missing,
    /// More than one credential was sent, or not as a bearer token.
    #[error("sent more than once, or not as a bearer token")]
    Misplaced,
    /// The credential is not a token, or its checksum does not match.
    #[error("malformed")]
    Malformed,
}

impl Error {
    /// Returns true if a retry may succeed.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Ledger(error) if error.is_transient())
    }

    /// Returns true if only a caller whose token authenticated gets this error.
    pub(crate) fn is_after_authentication(&self) -> bool {
        match self {
            Self::KeyKindNotAllowed { .. } | Self::GeneratedKeysNotAllowed => true,
            Self::Ledger(error) => error.is_after_authentication(),
            _ => false,
        }
    }
}

impl From<pki::Error> for Error {
    fn from(error: pki::Error) -> Self {
        Self::Ledger(error.into())
    }
}

impl From<der::Error> for Error {
    fn from(error: der::Error) -> Self {
        Self::Ledger(error.into())
    }
}
