//! The `MessageType` of the `Sign` operation.

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{
    error::{ErrorCode, KmsError},
    key::ALGORITHM,
    validation::check_enum,
};

/// The type of a message to sign.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum MessageType {
    /// A message that is hashed before signing.
    Raw,
    /// A digest, which is signed without hashing it again.
    Digest,
}

impl MessageType {
    /// Parses the `MessageType` member of a request.
    pub(super) fn parse(text: Option<&str>) -> Result<Self, KmsError> {
        let text = text.unwrap_or("RAW");
        // AWS also has EXTERNAL_MU, which is for ML-DSA keys only.
        check_enum(text, "messageType", &["RAW", "DIGEST"])?;
        Ok(if text == "DIGEST" { Self::Digest } else { Self::Raw })
    }

    /// Returns the digest to sign for `message`.
    pub(super) fn digest(self, message: &[u8]) -> Result<[u8; 32], KmsError> {
        match self {
            Self::Raw => Ok(Sha256::digest(message).into()),
            Self::Digest => message.try_into().map_err(|_| {
                let message = format!("Digest is invalid length for algorithm {ALGORITHM}.");
                KmsError::new(ErrorCode::Validation, message)
            }),
        }
    }
}
