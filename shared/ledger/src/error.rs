//! Errors of the ledger: of the store, the signer and the bucket.
//!
//! `Display` is for the log: it may name causes, never secrets.

use pki::{
    authority::{AuthorityName, AuthorityStatus},
    clock::Timestamp,
    lint::LintError,
    names::DeviceId,
};

use crate::{aws::AwsService, store::DeviceStatus};

/// A result whose error type defaults to [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of the ledger.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The enrollment token does not authenticate.
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
    /// The enrollment token is valid, but not for callers from this address.
    #[error("caller outside the address ranges of the enrollment token")]
    AddressNotAllowed,
    /// The device was issued as many certificates as its issuance limit allows.
    #[error("issuance limit of the device reached")]
    IssuanceLimitReached,
    /// The key was certified for another device.
    #[error("the key belongs to another device")]
    KeyInUse,
    /// A certificate for the key was revoked because the key was compromised.
    #[error("the key is compromised")]
    KeyCompromised,

    /// AWS throttled the request, and the SDK's retries too.
    #[error("{service} throttled the request: {cause}")]
    Throttled {
        /// The service.
        service: AwsService,
        /// The SDK's error and its sources.
        cause: String,
    },
    /// AWS refused the request: a permission, a table or a key is missing. No retry helps.
    #[error("{service} refused the request: {cause}")]
    Refused {
        /// The service.
        service: AwsService,
        /// The SDK's error and its sources.
        cause: String,
    },
    /// AWS cannot be reached, or failed to process the request.
    #[error("{service} is unavailable: {cause}")]
    Unavailable {
        /// The service.
        service: AwsService,
        /// The SDK's error and its sources.
        cause: String,
    },
    /// The request took so long that it could not be carried out, or that its outcome is unknown.
    #[error("no time left for the request")]
    OutOfTime,
    /// Concurrent requests changed the same item, in every attempt if there were several.
    #[error("concurrent changes of the same item came first: try again")]
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
    /// An item in the table cannot be parsed.
    #[error("damaged item: {0}")]
    Item(#[from] ItemError),
    /// An item's key or an attribute is not what its place in the table requires.
    #[error("damaged item: {0}")]
    Damaged(String),
    /// The root certificates for AWS's endpoints cannot be used.
    #[error("CA bundle: {0}")]
    CaBundle(String),
    /// A request to AWS lacks a required field, or an item's key is not valid.
    #[error("incomplete request: {0}")]
    Incomplete(String),
    /// The state of the table does not allow what an operator asked for.
    #[error(transparent)]
    Operator(#[from] OperatorError),
}

/// An operator's request that the state of the table does not allow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OperatorError {
    /// The item does not exist.
    #[error("there is no {0}")]
    Missing(String),
    /// The item exists already.
    #[error("there is a {0} already")]
    Exists(String),
    /// The certificate to renew is revoked.
    #[error("{0} is revoked and cannot be renewed: issue a new certificate instead")]
    Revoked(String),
    /// The certificate to renew has another role or other names than the renewal.
    #[error("{0} was issued for a different role or different names: its files were changed")]
    RenewalMismatch(String),
    /// The status of the device does not allow the change.
    #[error("device {device_id} is {status}")]
    DeviceStatus {
        /// The device.
        device_id: DeviceId,
        /// The status of the device.
        status: DeviceStatus,
    },
    /// The status of the CA does not allow the change.
    #[error("the CA {name} is {status}")]
    AuthorityStatus {
        /// The CA.
        name: AuthorityName,
        /// The status of the CA.
        status: AuthorityStatus,
    },
}

/// A reason to reject a token. The sender learns less: see `problem` in the crate `lambda`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// No token has this id and this secret.
    #[error("unknown")]
    Unknown,
    /// The token was regenerated.
    #[error("regenerated")]
    Regenerated,
    /// The token has expired.
    #[error("expired")]
    Expired,
    /// The device is not active.
    #[error("device not active")]
    Inactive,
}

/// A reason why a CA cannot issue that does not lie in its certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IssuerFault {
    /// The CA is not in the table.
    #[error("not set up")]
    Missing,
    /// The latest expiry that the project's policy allows has passed.
    #[error("the project's certificates may not be valid after {cap}, which is past")]
    CapPassed {
        /// The latest expiry allowed.
        cap: Timestamp,
    },
    /// KMS refuses to return the public key, or to sign with the key.
    #[error("its key {key_arn} cannot be used: {cause}")]
    Key {
        /// The ARN of the key, from the CA's record.
        key_arn: String,
        /// The error of KMS.
        cause: String,
    },
    /// The CA's last CRL has the highest number that there is.
    #[error("its CRL numbers are exhausted: set up another CA and revoke this one")]
    CrlNumbersExhausted,
    /// The key in KMS is not the one in the CA certificate.
    #[error("its KMS key does not match its certificate: {key_arn}")]
    KeyMismatch {
        /// The ARN of the key, from the CA's record.
        key_arn: String,
    },
}

/// An item in the table that cannot be parsed.
#[derive(Debug, thiserror::Error)]
#[error("{keys}: {cause}")]
pub struct ItemError {
    /// The item's partition key and sort key.
    pub(crate) keys: String,
    pub(crate) cause: serde_dynamo::Error,
}

impl Error {
    /// Returns true if a retry may succeed. Then a write may have been carried out nevertheless: the error is
    /// that of the SDK's last attempt, and the response to an earlier one may have been lost.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Throttled { .. } | Self::Unavailable { .. } | Self::OutOfTime | Self::Contended
        )
    }

    /// Returns true if only a caller whose token authenticated gets this error.
    #[must_use]
    pub fn is_after_authentication(&self) -> bool {
        matches!(
            self,
            Self::EnrollmentToken(Rejection::Expired)
                | Self::DeviceToken(Rejection::Inactive)
                | Self::TokenPaused
                | Self::DeviceCapReached
                | Self::AddressNotAllowed
                | Self::IssuanceLimitReached
                | Self::KeyInUse
                | Self::KeyCompromised
        )
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
