//! A signing key and its metadata.

use anyhow::Context;
use getrandom::{SysRng, rand_core::UnwrapErr};
use p256::{
    ecdsa::{DerSignature, SigningKey, signature::hazmat::RandomizedPrehashSigner},
    elliptic_curve::Generate,
    pkcs8::{DecodePrivateKey, EncodePrivateKey, EncodePublicKey, LineEnding},
};
use serde::{Deserialize, Serialize};

use super::{
    error::{ErrorCode, KmsError},
    identifier::KeyId,
    private_directory::PrivateDirectory,
};

/// The key spec of every key.
pub(super) const SPEC: &str = "ECC_NIST_P256";
/// The key usage of every key.
pub(super) const USAGE: &str = "SIGN_VERIFY";
/// The signing algorithm of every key.
pub(super) const ALGORITHM: &str = "ECDSA_SHA_256";

/// A key. The private key is zeroized on drop, so there is neither `Debug` nor `Clone`.
pub(super) struct Key {
    pub(super) id: KeyId,
    pub(super) record: KeyRecord,
    private: SigningKey,
}

/// The stored metadata of a key. The policy and the tags are kept for people who read the file:
/// nothing enforces or returns them.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct KeyRecord {
    pub(super) created: u64,
    pub(super) description: String,
    pub(super) state: KeyState,
    pub(super) tags: Vec<Tag>,
    pub(super) policy: Option<String>,
}

/// A tag, as `CreateKey` receives it.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Tag {
    pub(super) tag_key: String,
    pub(super) tag_value: String,
}

/// The state of a key.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(super) enum KeyState {
    Enabled,
    Disabled,
    PendingDeletion { due: u64 },
}

impl KeyState {
    /// Returns the name that AWS gives the state.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Enabled => "Enabled",
            Self::Disabled => "Disabled",
            Self::PendingDeletion { .. } => "PendingDeletion",
        }
    }

    /// Checks that the key `arn` is not pending deletion.
    pub(super) fn check_not_pending_deletion(self, arn: &str) -> Result<(), KmsError> {
        match self {
            Self::Enabled | Self::Disabled => Ok(()),
            Self::PendingDeletion { .. } => {
                Err(KmsError::new(ErrorCode::InvalidState, format!("{arn} is pending deletion.")))
            }
        }
    }

    /// Checks that the key `arn` may sign.
    pub(super) fn check_usable(self, arn: &str) -> Result<(), KmsError> {
        self.check_not_pending_deletion(arn)?;
        match self {
            Self::Disabled => {
                Err(KmsError::new(ErrorCode::Disabled, format!("{arn} is disabled.")))
            }
            _ => Ok(()),
        }
    }
}

impl Key {
    /// Creates a key and stores it in `directory`.
    pub(super) fn create(
        record: KeyRecord,
        directory: &PrivateDirectory,
    ) -> Result<Self, KmsError> {
        let private = SigningKey::generate_from_rng(&mut UnwrapErr(SysRng));
        let id = KeyId::random();
        let pem = private.to_pkcs8_pem(LineEnding::LF).map_err(KmsError::internal)?;
        // The record is written last: a key exists once its record does.
        directory.write(&private_file(&id), pem.as_bytes())?;
        write_record(directory, &id, &record)?;
        Ok(Self { id, record, private })
    }

    /// Loads the key `id` from `directory`.
    pub(super) fn load(id: KeyId, directory: &PrivateDirectory) -> anyhow::Result<Self> {
        let file = record_file(&id);
        let record = directory.read(&file).with_context(|| format!("cannot read {file}"))?;
        let record = serde_json::from_str(&record).with_context(|| format!("{file} is damaged"))?;
        let file = private_file(&id);
        let pem = directory.read(&file).with_context(|| format!("cannot read {file}"))?;
        let private = SigningKey::from_pkcs8_pem(&pem)
            .map_err(|error| anyhow::anyhow!("{file} is damaged: {error}"))?;
        Ok(Self { id, record, private })
    }

    /// Changes the state, on disk first.
    pub(super) fn set_state(
        &mut self,
        state: KeyState,
        directory: &PrivateDirectory,
    ) -> Result<(), KmsError> {
        let record = KeyRecord { state, ..self.record.clone() };
        write_record(directory, &self.id, &record)?;
        self.record = record;
        Ok(())
    }

    /// Returns the public key as a DER-encoded SubjectPublicKeyInfo.
    pub(super) fn public_key(&self) -> Result<Vec<u8>, KmsError> {
        let der = self.private.verifying_key().to_public_key_der().map_err(KmsError::internal)?;
        Ok(der.into_vec())
    }

    /// Signs a digest without hashing it again. Signatures are randomized like those of AWS, so that
    /// nothing relies on equal signatures; the randomness is hedged (RFC 6979, section 3.6).
    pub(super) fn sign(&self, digest: &[u8; 32]) -> Result<DerSignature, KmsError> {
        self.private
            .sign_prehash_with_rng(&mut UnwrapErr(SysRng), digest)
            .map_err(KmsError::internal)
    }
}

fn write_record(
    directory: &PrivateDirectory,
    id: &KeyId,
    record: &KeyRecord,
) -> Result<(), KmsError> {
    Ok(directory.write(&record_file(id), &serde_json::to_vec_pretty(record)?)?)
}

fn record_file(id: &KeyId) -> String {
    format!("{}.json", id.as_str())
}

fn private_file(id: &KeyId) -> String {
    format!("{}.pem", id.as_str())
}
