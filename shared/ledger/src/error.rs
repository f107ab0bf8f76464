//! The errors of the ledger: what the store, the signer and the bucket can answer.
//!
//! `Display` is for the log: it may name causes, never secrets.

use pki::{
    authority::{AuthorityName, AuthorityStatus},
    clock::Timestamp,
    lint::LintError,
    names::DeviceId,
};

use crate::{
    aws::AwsService,
    store::{DeviceStatus, ItemError},
};

/// A result whose error is [`Error`] unless another is named.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An operation that had no effect.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The enrollment token does not admit anyone.
    #[error("enrollment token refused: {0}")]
    EnrollmentToken(Rejection),
    /// The device token does not authenticate a device.
    #[error("device token refused: {0}")]
    DeviceToken(Rejection),
    /// The enrollment token is valid, but paused.
    #[error("enrollment token is paused")]
    TokenPaused,
    /// The enrollment token has enrolled as many devices as its cap allows.
    #[error("device cap of the enrollment token reached")]
    DeviceCapReached,
    /// The enrollment token is valid, but not for callers from that address.
    #[error("caller outside the address ranges of the enrollment token")]
    AddressNotAllowed,
    /// The device was issued as many certificates as its project allows.
    #[error("issuance limit of the device reached")]
    IssuanceLimitReached,
    /// The key was certified for another device.
    #[error("the key belongs to another device")]
    KeyInUse,
    /// A certificate for the key was revoked because the key was compromised.
    #[error("the key is compromised")]
    KeyCompromised,

    /// AWS asks for a slower pace, after the SDK's own retries.
    #[error("{service} throttles: {cause}")]
    Throttled {
        /// The service.
        service: AwsService,
        /// The SDK's account of it.
        cause: String,
    },
    /// AWS understood and refuses: a permission, a table or a key is missing. No retry helps.
    #[error("{service} refuses: {cause}")]
    Refused {
        /// The service.
        service: AwsService,
        /// The SDK's account of it.
        cause: String,
    },
    /// AWS cannot be reached, or answers with an error of its own.
    #[error("{service} is unavailable: {cause}")]
    Unavailable {
        /// The service.
        service: AwsService,
        /// The SDK's account of it.
        cause: String,
    },
    /// Other requests for the same item kept winning.
    #[error("too many concurrent requests for one item")]
    Contended,

    /// The issuing CA, its key or the project's policy does not allow issuance.
    #[error("issuing CA {name}: {fault}")]
    Issuer {
        /// The name of the CA, such as `device`.
        name: String,
        /// The reason.
        fault: IssuerFault,
    },
    /// A certificate or CRL could not be built, checked or verified.
    #[error(transparent)]
    Pki(#[from] pki::Error),
    /// An item in the table is not what this version writes.
    #[error("damaged item: {0}")]
    Item(#[from] ItemError),
    /// The roots that AWS's endpoints are verified with cannot be used.
    #[error("CA bundle: {0}")]
    CaBundle(String),
    /// A request to AWS lacks a required part.
    #[error("incomplete request: {0}")]
    Incomplete(String),
    /// The state of the table does not allow what an operator asked for.
    #[error(transparent)]
    Operator(#[from] OperatorError),
}

/// What an operator asked for and the state of the table does not allow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OperatorError {
    /// It does not exist.
    #[error("there is no {0}")]
    Missing(String),
    /// It exists already.
    #[error("there is a {0} already")]
    Exists(String),
    /// A revoked certificate is not renewed.
    #[error("{0} is revoked and cannot be renewed: issue a new certificate if you mean to")]
    Revoked(String),
    /// A renewal keeps the role and the names of the certificate.
    #[error("{0} was issued for another role or other names: its files were changed")]
    OtherNames(String),
    /// The status of the device does not allow it.
    #[error("device {device_id} is {status}")]
    DeviceStatus {
        /// The device.
        device_id: DeviceId,
        /// Its status.
        status: DeviceStatus,
    },
    /// The status of the CA does not allow it.
    #[error("the CA {name} is {status}")]
    AuthorityStatus {
        /// The CA.
        name: AuthorityName,
        /// Its status.
        status: AuthorityStatus,
    },
}

/// Why the store refuses a token. The sender learns less: see `problem` in the crate `lambda`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// No item has this id and this secret.
    #[error("unknown")]
    Unknown,
    /// The token was valid until it was regenerated.
    #[error("superseded")]
    Superseded,
    /// The token was valid until its expiry.
    #[error("expired")]
    Expired,
    /// The device is no longer active.
    #[error("device not active")]
    Inactive,
}

/// Reasons outside of its certificate for which a CA cannot issue.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IssuerFault {
    /// The CA is not in the table.
    #[error("not set up")]
    Missing,
    /// The project's policy lets no certificate live beyond a time that is past.
    #[error("the project's certificates may not live beyond {cap}, which is past")]
    CapPassed {
        /// That time.
        cap: Timestamp,
    },
    /// KMS refuses to show the key, or to sign with it.
    #[error("its key {key_arn} cannot be used: {cause}")]
    Key {
        /// The key, as the CA's record names it.
        key_arn: String,
        /// The account of KMS.
        cause: String,
    },
    /// KMS holds another key than the CA certificate certifies.
    #[error("the key in KMS is not the one in its certificate: {key_arn}")]
    OtherKey {
        /// The key, as the CA's record names it.
        key_arn: String,
    },
}

impl Error {
    /// Returns true if a retry may succeed.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Throttled { .. } | Self::Unavailable { .. } | Self::Contended)
    }
}

impl From<LintError> for Error {
    fn from(error: LintError) -> Self {
        Self::Pki(error.into())
    }
}

impl From<der::Error> for Error {
    fn from(error: der::Error) -> Self {
        Self::Pki(error.into())
    }
}
