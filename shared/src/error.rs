//! What can go wrong, free of any transport. `problem` turns it into HTTP, in one place.
//!
//! `Display` is for the log: it may name causes, never secrets.

use crate::{
    authority::{AuthorityName, AuthorityStatus},
    clock::Timestamp,
    csr::CsrError,
    key::KeyKinds,
    lint::LintError,
};
#[cfg(feature = "aws")]
use crate::{
    config::ConfigError,
    id::DeviceId,
    store::{DeviceStatus, ItemError},
};

/// A result whose error is [`Error`] unless said otherwise.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a request got no answer, or an operation no effect.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The enrollment token does not let anyone in.
    #[error("enrollment token refused: {0}")]
    EnrollmentToken(Rejection),
    /// The device token does not authenticate a device.
    #[error("device token refused: {0}")]
    DeviceToken(Rejection),
    /// The enrollment token is right, but paused.
    #[error("enrollment token is paused")]
    TokenPaused,
    /// The enrollment token has enrolled as many devices as it may.
    #[error("device cap of the enrollment token reached")]
    DeviceCapReached,
    /// The enrollment token is right, but not for callers from there.
    #[error("caller outside the address ranges of the enrollment token")]
    AddressNotAllowed,
    /// The device was issued as many certificates as its project allows.
    #[error("issuance limit of the device reached")]
    IssuanceLimitReached,

    /// The project's devices are not given key pairs.
    #[error("no server-generated keys in this project")]
    GeneratedKeysNotAllowed,
    /// The project's devices have keys of other kinds.
    #[error("no keys of this kind in this project, but: {allowed}")]
    KeyKindNotAllowed {
        /// The kinds that they may have.
        allowed: KeyKinds,
    },
    /// The key was certified for another device.
    #[error("the key is another device's")]
    KeyInUse,
    /// A certificate for the key was revoked because the key was compromised.
    #[error("the key is compromised")]
    KeyCompromised,

    /// The certification request cannot be granted; it quotes nothing of it.
    #[error("bad certification request: {0}")]
    Csr(#[from] CsrError),
    /// The form is broken; the text says how and quotes nothing of it.
    #[error("bad form: {0}")]
    Form(&'static str),
    /// The body is larger than this operation takes.
    #[error("body over {limit} bytes")]
    BodyTooLarge {
        /// The most it takes, in bytes.
        limit: usize,
    },
    /// The body is of a content type that this operation does not read.
    #[error("content type not supported")]
    UnsupportedMediaType {
        /// What to send instead, as a sentence.
        instead: &'static str,
    },
    /// No such path.
    #[error("no such path")]
    NotFound,
    /// The path is there, but not for this method.
    #[error("method not allowed")]
    MethodNotAllowed {
        /// The methods it has, as the `Allow` header lists them.
        allow: &'static str,
    },

    /// AWS asks for a slower pace, after the SDK's own retries.
    #[error("{service} throttles: {cause}")]
    Throttled {
        /// Which service.
        service: Service,
        /// The SDK's account of it.
        cause: String,
    },
    /// AWS understood and refuses: a permission, a table or a key is missing. No retry helps.
    #[error("{service} refuses: {cause}")]
    Refused {
        /// Which service.
        service: Service,
        /// The SDK's account of it.
        cause: String,
    },
    /// AWS cannot be reached, or answers with an error of its own.
    #[error("{service} is unavailable: {cause}")]
    Unavailable {
        /// Which service.
        service: Service,
        /// The SDK's account of it.
        cause: String,
    },
    /// Other requests for the same item kept winning.
    #[error("too many concurrent requests for one item")]
    Contended,
    /// The issuing CA cannot issue.
    #[error("issuing CA {name}: {fault}")]
    Authority {
        /// Its name, such as `device`.
        name: String,
        /// What is wrong with it.
        fault: AuthorityFault,
    },

    /// Some of what was to be published was not; the log says why of each.
    #[error("not published: {0}")]
    Unpublished(String),

    /// The signer's answer is not a signature by the CA over what was asked.
    #[error("the signature does not verify with the issuing CA's key")]
    WrongSignature,
    /// The certificate about to be signed is not what its profile promises.
    #[error("lint: {0}")]
    Lint(#[from] LintError),
    /// An item in the table is not what this version writes.
    #[cfg(feature = "aws")]
    #[error("damaged item: {0}")]
    Item(#[from] ItemError),
    /// ASN.1 that could not be encoded or decoded.
    #[error("ASN.1: {0}")]
    Asn1(#[from] der::Error),
    /// A function's environment cannot be used.
    #[cfg(feature = "aws")]
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The roots to trust AWS's endpoints by cannot be used.
    #[error("CA bundle: {0}")]
    CaBundle(String),
    /// Lambda's runtime API cannot be reached.
    #[error("Lambda runtime: {0}")]
    Runtime(String),
    /// A request to AWS lacks a part that it cannot do without.
    #[error("incomplete request: {0}")]
    Incomplete(String),
    /// An operator asked for something that is not there.
    #[error("there is no {0}")]
    Missing(String),
    /// An operator asked to renew what was revoked.
    #[error("{0} is revoked, and not renewed: issue a new one, if that is meant")]
    Revoked(String),
    /// An operator asked to renew something with another role or other names than it was issued.
    #[error("{0} was issued for another role or other names: its files were changed")]
    OtherNames(String),
    /// An operator asked to make something that is there already.
    #[error("there is a {0} already")]
    Exists(String),
    /// An operator asked for what a device's status does not allow.
    #[cfg(feature = "aws")]
    #[error("device {device_id} is {status}")]
    DeviceStatus {
        /// The device.
        device_id: DeviceId,
        /// What it is.
        status: DeviceStatus,
    },
    /// An operator asked for what a CA's status does not allow.
    #[error("the CA {name} is {status}")]
    AuthorityStatus {
        /// The CA.
        name: AuthorityName,
        /// What it is.
        status: AuthorityStatus,
    },
}

impl Error {
    /// Whether it may be over by itself in a moment.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Throttled { .. } | Self::Unavailable { .. } | Self::Contended)
    }
}

/// Why a credential was refused. The one who sent it learns less: see `problem`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// There was none.
    #[error("missing")]
    Missing,
    /// There were several, or it was not sent as a bearer token.
    #[error("sent in the wrong way")]
    Misplaced,
    /// It has not the form of a token, or its checksum is wrong.
    #[error("malformed")]
    Malformed,
    /// No item has this id and this secret.
    #[error("unknown")]
    Unknown,
    /// It was right until it was regenerated.
    #[error("superseded")]
    Superseded,
    /// It was right until its expiry.
    #[error("expired")]
    Expired,
    /// Its device is not active any more.
    #[error("device not active")]
    Inactive,
}

/// A service that this one stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Amazon DynamoDB, the store.
    DynamoDb,
    /// AWS KMS, the signer.
    Kms,
    /// Amazon S3, the bucket.
    S3,
}

impl std::fmt::Display for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::DynamoDb => "DynamoDB",
            Self::Kms => "KMS",
            Self::S3 => "S3",
        })
    }
}

/// Why a CA cannot issue.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthorityFault {
    /// It is not in the table.
    #[error("not set up")]
    Missing,
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
    /// The project's policy lets no certificate live beyond a time that is past.
    #[error("the project's certificates may not live beyond {cap}, which is past")]
    CapPassed {
        /// When.
        cap: Timestamp,
    },
    /// Its certificate, or its root's, is not valid any more.
    #[error("its certificate expired at {ca_not_after}")]
    Expired {
        /// End of the CA's validity.
        ca_not_after: Timestamp,
    },
    /// KMS refuses to say which key it is, or to sign with it.
    #[error("its key {key_arn} cannot be used: {cause}")]
    Key {
        /// The key, as the CA's record names it.
        key_arn: String,
        /// What KMS says.
        cause: String,
    },
    /// KMS holds another key than the CA certificate certifies.
    #[error("the key in KMS is not the one in its certificate: {key_arn}")]
    OtherKey {
        /// The key, as the CA's record names it.
        key_arn: String,
    },
}
