//! A root's private key, wherever it is.

use std::path::Path;

use anyhow::Context;
use birthcert::{certificate::Unverified, lint::LintedTbs};
use cryptoki::types::AuthPin;
use der::pem::LineEnding;
use getrandom::{SysRng, rand_core::UnwrapErr};
use p256::{
    ecdsa::{Signature, SigningKey, VerifyingKey, signature::hazmat::PrehashSigner},
    elliptic_curve::Generate,
};
use pkcs8::{DecodePrivateKey, EncodePrivateKey};

use super::token::{Token, TokenKey, TokenPlace};
use crate::files::{ensure_private_directory, read, write_private};

/// The key's file in a root's directory: PKCS#8, encrypted (PBES2 with scrypt and AES-256-CBC).
pub const KEY_FILE: &str = "root-key.pem";

/// A root's key that is open. It has neither `Debug` nor `Clone`.
pub enum RootKey {
    /// It was read from the encrypted file.
    File(SigningKey),
    /// It stays in its PKCS#11 token.
    Token(TokenKey),
}

impl RootKey {
    /// Makes a key and its file, encrypted with `passphrase`, in `directory`.
    ///
    /// # Errors
    /// When there is such a file already, or it cannot be written.
    pub fn make_file(directory: &Path, passphrase: &str) -> anyhow::Result<Self> {
        let key = SigningKey::generate_from_rng(&mut UnwrapErr(SysRng));
        let encrypted = key.to_pkcs8_encrypted_pem(passphrase, LineEnding::LF)?;
        ensure_private_directory(directory)?;
        write_private(&directory.join(KEY_FILE), &encrypted)?;
        Ok(Self::File(key))
    }

    /// Opens the key whose file is in `directory`.
    ///
    /// # Errors
    /// When there is none, or the passphrase is wrong.
    pub fn open_file(directory: &Path, passphrase: &str) -> anyhow::Result<Self> {
        let key =
            SigningKey::from_pkcs8_encrypted_pem(&read(&directory.join(KEY_FILE))?, passphrase)
                .map_err(|_| {
                    anyhow::anyhow!("the passphrase is wrong, or {KEY_FILE} is damaged")
                })?;
        Ok(Self::File(key))
    }

    /// Makes a key in a token. Where the token has a keypad of its own, no PIN is given.
    ///
    /// # Errors
    /// When there is one at this place already, the PIN is wrong, or the token refuses.
    pub fn make_in_token(place: &TokenPlace, pin: Option<&AuthPin>) -> anyhow::Result<Self> {
        Ok(Self::Token(Token::find(place)?.make(pin)?))
    }

    /// Opens a key in a token.
    ///
    /// # Errors
    /// When there is none at this place, it could be taken out, or the PIN is wrong.
    pub fn open_in_token(place: &TokenPlace, pin: Option<&AuthPin>) -> anyhow::Result<Self> {
        Ok(Self::Token(Token::find(place)?.open(pin)?))
    }

    /// Its public half.
    #[must_use]
    pub fn public(&self) -> &VerifyingKey {
        match self {
            Self::File(key) => key.verifying_key(),
            Self::Token(key) => key.public(),
        }
    }

    /// Signs what passed the lint.
    ///
    /// # Errors
    /// When a token does not.
    pub(crate) fn sign(&self, tbs: LintedTbs) -> anyhow::Result<Unverified> {
        let signature = self.sign_digest(tbs.digest())?;
        Ok(tbs.with_signature(&signature.to_der())?)
    }

    pub(crate) fn sign_digest(&self, digest: &[u8; 32]) -> anyhow::Result<Signature> {
        match self {
            Self::File(key) => key.sign_prehash(digest).context("the key does not sign"),
            Self::Token(key) => key.sign(digest),
        }
    }
}
