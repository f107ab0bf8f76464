//! The errors of the KMS API.

use std::{fmt::Display, io};

use axum::http::StatusCode;

/// An error of KMS, or one that every AWS JSON API shares.
#[derive(Clone, Copy)]
pub(super) enum ErrorCode {
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

impl ErrorCode {
    /// Returns the name of the exception, as AWS SDKs know it.
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

    /// Returns the HTTP status of the response.
    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::DryRunOperation => StatusCode::PRECONDITION_FAILED,
            Self::RequestEntityTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

/// An error response.
pub(super) struct KmsError {
    pub(super) code: ErrorCode,
    pub(super) message: String,
}

impl KmsError {
    pub(super) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// Creates an error that this process caused rather than the request, and logs the cause to
    /// standard error.
    pub(super) fn internal(cause: impl Display) -> Self {
        eprintln!("kms: {cause}");
        Self::new(ErrorCode::Internal, "The request was rejected because of an internal error.")
    }
}

impl From<io::Error> for KmsError {
    fn from(error: io::Error) -> Self {
        Self::internal(error)
    }
}

impl From<serde_json::Error> for KmsError {
    fn from(error: serde_json::Error) -> Self {
        Self::internal(error)
    }
}
