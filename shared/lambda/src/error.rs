//! The errors of a function: what a request can be refused for, and what keeps a function from serving.
//!
//! [`problem`](crate::problem) turns them into HTTP. `Display` is for the log: it may name causes, never
//! secrets.

use pki::{csr::CsrError, key::KeyKinds};

use crate::config::ConfigError;

/// A result whose error is [`Error`] unless another is named.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A request that got no answer, or a function that cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no usable enrollment token in the request.
    #[error("enrollment token refused: {0}")]
    EnrollmentToken(CredentialFault),
    /// There is no usable device token in the request.
    #[error("device token refused: {0}")]
    DeviceToken(CredentialFault),
    /// The certificate signing request cannot be granted; the text quotes nothing of it.
    #[error("bad certification request: {0}")]
    Csr(#[from] CsrError),
    /// The form is malformed; the text says how and quotes nothing of it.
    #[error("bad form: {0}")]
    Form(&'static str),
    /// The body is larger than this operation accepts.
    #[error("body over {limit} bytes")]
    BodyTooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// The content type is not one that this operation reads.
    #[error("content type not supported")]
    UnsupportedMediaType {
        /// What to send instead, as a sentence.
        instead: &'static str,
    },
    /// No function serves this path.
    #[error("no such path")]
    NotFound,
    /// The path is served, but not for this method.
    #[error("method not allowed")]
    MethodNotAllowed {
        /// The methods that are, as the `Allow` header lists them.
        allow: &'static str,
    },
    /// The project does not generate keys for its devices.
    #[error("no server-generated keys in this project")]
    GeneratedKeysNotAllowed,
    /// The project's devices have keys of other kinds.
    #[error("key kind not allowed by the project; allowed: {allowed}")]
    KeyKindNotAllowed {
        /// The kinds that are allowed.
        allowed: KeyKinds,
    },

    /// The ledger refused, or could not be reached.
    #[error(transparent)]
    Ledger(#[from] ledger::Error),
    /// Some of what was due was not published; the log has the cause of each.
    #[error("not published: {0}")]
    Unpublished(String),
    /// An answer or a document cannot be written as JSON.
    #[error("JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// The environment of the function is not usable.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Lambda's runtime API cannot be reached.
    #[error("Lambda runtime: {0}")]
    Runtime(String),
}

/// What is wrong with how a credential was sent, before the store is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialFault {
    /// There is none.
    #[error("missing")]
    Missing,
    /// There are several, or it is not a bearer token.
    #[error("sent in the wrong way")]
    Misplaced,
    /// It does not have the form of a token, or its checksum is wrong.
    #[error("malformed")]
    Malformed,
}

impl Error {
    /// Returns true if a retry may succeed.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Ledger(error) if error.is_transient())
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
