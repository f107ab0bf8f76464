//! A key: its private half, and what KMS knows of it.

use anyhow::Context;
use getrandom::{SysRng, rand_core::UnwrapErr};
use p256::{
    ecdsa::{DerSignature, SigningKey, signature::hazmat::RandomizedPrehashSigner},
    elliptic_curve::Generate,
    pkcs8::{DecodePrivateKey, EncodePrivateKey, EncodePublicKey, LineEnding},
};
use serde::{Deserialize, Serialize};

use super::{
    address::KeyId,
    disk::Directory,
    fault::{Code, Fault},
};

/// What can be done with a key, and what AWS calls it.
pub(super) const SPEC: &str = "ECC_NIST_P256";
pub(super) const USAGE: &str = "SIGN_VERIFY";
pub(super) const ALGORITHM: &str = "ECDSA_SHA_256";

/// A key. Its private half is wiped when it is dropped; it has neither `Debug` nor `Clone`.
pub(super) struct Key {
    pub(super) id: KeyId,
    pub(super) record: Record,
    private: SigningKey,
}

/// What is known of a key besides the key. Policy and tags are kept so that they are not lost on
/// whoever looks for them; nothing enforces or answers them.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) created: u64,
    pub(super) description: String,
    pub(super) state: State,
    pub(super) tags: Vec<Tag>,
    pub(super) policy: Option<String>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Tag {
    pub(super) tag_key: String,
    pub(super) tag_value: String,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
pub(super) enum State {
    Enabled,
    Disabled,
    PendingDeletion { due: u64 },
}

impl State {
    /// AWS's name of it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Enabled => "Enabled",
            Self::Disabled => "Disabled",
            Self::PendingDeletion { .. } => "PendingDeletion",
        }
    }

    /// Checks that the key called `arn` is to live on.
    pub(super) fn not_pending_deletion(self, arn: &str) -> Result<(), Fault> {
        match self {
            Self::Enabled | Self::Disabled => Ok(()),
            Self::PendingDeletion { .. } => {
                Err(Fault::new(Code::InvalidState, format!("{arn} is pending deletion.")))
            }
        }
    }

    /// Checks that the key called `arn` may sign.
    pub(super) fn usable(self, arn: &str) -> Result<(), Fault> {
        self.not_pending_deletion(arn)?;
        match self {
            Self::Disabled => Err(Fault::new(Code::Disabled, format!("{arn} is disabled."))),
            _ => Ok(()),
        }
    }
}

impl Key {
    /// A new key, which is on the disk before anybody hears of it.
    pub(super) fn create(record: Record, directory: &Directory) -> Result<Self, Fault> {
        let private = SigningKey::generate_from_rng(&mut UnwrapErr(SysRng));
        let id = KeyId::random();
        let pem = private.to_pkcs8_pem(LineEnding::LF).map_err(Fault::internal)?;
        // The record last, because a key is there when its record is.
        directory.write(&private_file(&id), pem.as_bytes())?;
        write_record(directory, &id, &record)?;
        Ok(Self { id, record, private })
    }

    /// The key `id`, from the disk.
    pub(super) fn load(id: KeyId, directory: &Directory) -> anyhow::Result<Self> {
        let file = record_file(&id);
        let record = directory.read(&file).with_context(|| format!("cannot read {file}"))?;
        let record = serde_json::from_str(&record).with_context(|| format!("{file} is damaged"))?;
        let file = private_file(&id);
        let pem = directory.read(&file).with_context(|| format!("cannot read {file}"))?;
        let private = SigningKey::from_pkcs8_pem(&pem)
            .map_err(|error| anyhow::anyhow!("{file} is damaged: {error}"))?;
        Ok(Self { id, record, private })
    }

    /// Changes the state, on the disk first.
    pub(super) fn enter(&mut self, state: State, directory: &Directory) -> Result<(), Fault> {
        let record = Record { state, ..self.record.clone() };
        write_record(directory, &self.id, &record)?;
        self.record = record;
        Ok(())
    }

    /// The public half, as SubjectPublicKeyInfo in DER.
    pub(super) fn public_key(&self) -> Result<Vec<u8>, Fault> {
        let der = self.private.verifying_key().to_public_key_der().map_err(Fault::internal)?;
        Ok(der.into_vec())
    }

    /// Signs a digest as it is. Randomized, as AWS's signatures are, so that nothing comes to rely
    /// on two of them being equal; the key still hedges the randomness (RFC 6979, section 3.6).
    pub(super) fn sign(&self, digest: &[u8; 32]) -> Result<DerSignature, Fault> {
        self.private.sign_prehash_with_rng(&mut UnwrapErr(SysRng), digest).map_err(Fault::internal)
    }
}

fn write_record(directory: &Directory, id: &KeyId, record: &Record) -> Result<(), Fault> {
    Ok(directory.write(&record_file(id), &serde_json::to_vec_pretty(record)?)?)
}

fn record_file(id: &KeyId) -> String {
    format!("{}.json", id.as_str())
}

fn private_file(id: &KeyId) -> String {
    format!("{}.pem", id.as_str())
}
