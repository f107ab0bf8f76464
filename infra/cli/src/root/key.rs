//! A root's private key, wherever it is.

use std::path::Path;

use anyhow::Context;
use cryptoki::types::AuthPin;
use der::pem::{LineEnding, PemLabel as _};
use getrandom::{SysRng, rand_core::UnwrapErr};
use p256::{
    ecdsa::{Signature, SigningKey, signature::hazmat::PrehashSigner},
    elliptic_curve::Generate,
};
use pkcs8::{
    DecodePrivateKey as _, EncodePrivateKey as _, EncryptedPrivateKeyInfoRef, PrivateKeyInfoRef,
    pkcs5::{pbes2::Parameters, scrypt},
};
use pki::{
    certificate::Unverified,
    lint::LintedTbs,
    signing::{CaPublicKey, CaSignature, TbsDigest},
};
use zeroize::Zeroizing;

use super::token::{Token, TokenKey, TokenPlace};
use crate::files::{ensure_private_directory, read, write_private};

/// The key's file in a root's directory: PKCS#8, encrypted (PBES2 with scrypt and AES-256-CBC).
pub const KEY_FILE: &str = "root-key.pem";

/// The passphrase that opens a root's key file.
#[derive(Clone, Copy)]
pub enum Lock<'a> {
    /// A person chose it: each guess at it costs some half a second.
    Chosen(&'a str),
    /// 256 random bits, at which nobody guesses.
    Random(&'a str),
}

impl<'a> Lock<'a> {
    fn text(self) -> &'a str {
        match self {
            Self::Chosen(text) | Self::Random(text) => text,
        }
    }

    /// RFC 7914. `openssl` opens nothing that needs more than 32 MiB, which is less than N = 2^15: what makes
    /// guessing expensive is p, of which the 16 MiB are filled one after the other.
    fn work(self) -> Result<scrypt::Params, scrypt::errors::InvalidParams> {
        let parallelization = match self {
            Self::Chosen(_) => 16,
            Self::Random(_) => 1,
        };
        scrypt::Params::new(14, 8, parallelization)
    }
}

/// A root's key that is open. It has neither `Debug` nor `Clone`.
pub enum RootKey {
    /// It was read from the encrypted file.
    File(SigningKey),
    /// It stays in its PKCS#11 token.
    Token(TokenKey),
}

impl RootKey {
    /// Makes a key and its file, which `lock` opens, in `directory`.
    ///
    /// # Errors
    /// When there is such a file already, or it cannot be written.
    pub fn make_file(directory: &Path, lock: Lock<'_>) -> anyhow::Result<Self> {
        let key = SigningKey::generate_from_rng(&mut UnwrapErr(SysRng));
        let encrypted = encrypted(&key, lock)?;
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
    pub fn public(&self) -> CaPublicKey {
        match self {
            Self::File(key) => (*key.verifying_key()).into(),
            Self::Token(key) => key.public(),
        }
    }

    /// Signs what passed the lint.
    ///
    /// # Errors
    /// When a token does not.
    pub(crate) fn sign(&self, tbs: LintedTbs) -> anyhow::Result<Unverified> {
        let signature = self.sign_digest(tbs.digest())?;
        Ok(tbs.with_signature(&signature)?)
    }

    pub(crate) fn sign_digest(&self, digest: &TbsDigest) -> anyhow::Result<CaSignature> {
        match self {
            Self::File(key) => {
                let signature: Signature =
                    key.sign_prehash(digest).context("the key does not sign")?;
                Ok(signature.to_der().into())
            }
            Self::Token(key) => key.sign(digest),
        }
    }
}

/// In PEM.
fn encrypted(key: &SigningKey, lock: Lock<'_>) -> anyhow::Result<Zeroizing<String>> {
    let (mut salt, mut iv) = ([0; 16], [0; 16]);
    getrandom::fill(&mut salt)?;
    getrandom::fill(&mut iv)?;
    let parameters = Parameters::generate_scrypt_aes256cbc(lock.work()?, &salt, iv)
        .map_err(|error| anyhow::anyhow!("the key's encryption: {error}"))?;
    let plain = key.to_pkcs8_der()?;
    let info = PrivateKeyInfoRef::try_from(plain.as_bytes())?;
    let encrypted = info.encrypt_with_params(parameters, lock.text())?;
    Ok(encrypted.to_pem(EncryptedPrivateKeyInfoRef::PEM_LABEL, LineEnding::LF)?)
}
