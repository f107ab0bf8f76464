//! What KMS answers instead of doing what it was asked.

use std::{fmt::Display, io};

use axum::http::StatusCode;

/// What went wrong, in AWS's terms.
#[derive(Clone, Copy)]
pub(super) enum Code {
    AlreadyExists,
    Disabled,
    DryRunOperation,
    Internal,
    InvalidAliasName,
    InvalidArn,
    InvalidKeyUsage,
    InvalidMarker,
    InvalidState,
    MalformedPolicyDocument,
    MissingAuthenticationToken,
    NotAuthorized,
    NotFound,
    RequestEntityTooLarge,
    Serialization,
    UnknownOperation,
    UnsupportedOperation,
    Validation,
}

impl Code {
    /// The exception that an AWS SDK makes of it.
    pub(super) fn exception(self) -> &'static str {
        match self {
            Self::AlreadyExists => "AlreadyExistsException",
            Self::Disabled => "DisabledException",
            Self::DryRunOperation => "DryRunOperationException",
            Self::Internal => "KMSInternalException",
            Self::InvalidAliasName => "InvalidAliasNameException",
            Self::InvalidArn => "InvalidArnException",
            Self::InvalidKeyUsage => "InvalidKeyUsageException",
            Self::InvalidMarker => "InvalidMarkerException",
            Self::InvalidState => "KMSInvalidStateException",
            Self::MalformedPolicyDocument => "MalformedPolicyDocumentException",
            Self::MissingAuthenticationToken => "MissingAuthenticationTokenException",
            Self::NotAuthorized => "NotAuthorizedException",
            Self::NotFound => "NotFoundException",
            Self::RequestEntityTooLarge => "RequestEntityTooLargeException",
            Self::Serialization => "SerializationException",
            Self::UnknownOperation => "UnknownOperationException",
            Self::UnsupportedOperation => "UnsupportedOperationException",
            Self::Validation => "ValidationException",
        }
    }

    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::DryRunOperation => StatusCode::PRECONDITION_FAILED,
            Self::RequestEntityTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

/// An answer that says no, and why.
pub(super) struct Fault {
    pub(super) code: Code,
    pub(super) message: String,
}

impl Fault {
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// A fault of this process rather than of the request: the cause goes to whoever runs it.
    pub(super) fn internal(cause: impl Display) -> Self {
        eprintln!("kms: {cause}");
        Self::new(Code::Internal, "The request was rejected because of an internal error.")
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::internal(error)
    }
}

impl From<serde_json::Error> for Fault {
    fn from(error: serde_json::Error) -> Self {
        Self::internal(error)
    }
}
