//! The root's private key, in a file or in a PKCS#11 token.

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
    certificate::UnverifiedCertificate,
    lint::LintedTbs,
    signing::{CaPublicKey, CaSignature, TbsDigest},
};
use zeroize::Zeroizing;

use super::pkcs11::{Pkcs11Key, Pkcs11Location, Pkcs11Token};
use crate::files::{ensure_private_directory, read, write_private};

/// Name of the key file in a root's directory: encrypted PKCS#8 (PBES2 with scrypt and AES-256-CBC).
pub const KEY_FILE: &str = "root-key.pem";

/// The passphrase of a root's key file.
#[derive(Clone, Copy)]
pub enum KeyFilePassphrase<'a> {
    /// Chosen by a person. Each guess costs about half a second.
    Chosen(&'a str),
    /// 256 random bits, which need no protection against guessing.
    Random(&'a str),
}

impl<'a> KeyFilePassphrase<'a> {
    fn text(self) -> &'a str {
        match self {
            Self::Chosen(text) | Self::Random(text) => text,
        }
    }

    /// Returns the cost of a guess (RFC 7914). `openssl` accepts at most 32 MiB, which excludes N = 2^15. So p
    /// makes guessing expensive: the same 16 MiB are filled p times in sequence.
    fn cost(self) -> Result<scrypt::Params, scrypt::errors::InvalidParams> {
        let parallelization = match self {
            Self::Chosen(_) => 16,
            Self::Random(_) => 1,
        };
        scrypt::Params::new(14, 8, parallelization)
    }
}

/// An unlocked key of a root. Implements neither `Debug` nor `Clone`.
pub enum RootKey {
    /// Decrypted from its file.
    File(SigningKey),
    /// In its PKCS#11 token, which it cannot leave.
    Pkcs11(Pkcs11Key),
}

impl RootKey {
    /// Generates a key and writes it, encrypted with `passphrase`, to a file in `directory`.
    ///
    /// # Errors
    /// If the file exists, or cannot be written.
    pub fn make_file(directory: &Path, passphrase: KeyFilePassphrase<'_>) -> anyhow::Result<Self> {
        let key = SigningKey::generate_from_rng(&mut UnwrapErr(SysRng));
        let encrypted = encrypted(&key, passphrase)?;
        ensure_private_directory(directory)?;
        write_private(&directory.join(KEY_FILE), &encrypted)?;
        Ok(Self::File(key))
    }

    /// Decrypts the key file in `directory`.
    ///
    /// # Errors
    /// If there is no such file, or the passphrase is wrong.
    pub fn open_file(directory: &Path, passphrase: &str) -> anyhow::Result<Self> {
        let key =
            SigningKey::from_pkcs8_encrypted_pem(&read(&directory.join(KEY_FILE))?, passphrase)
                .map_err(|_| {
                    anyhow::anyhow!("the passphrase is wrong, or {KEY_FILE} is damaged")
                })?;
        Ok(Self::File(key))
    }

    /// Generates a key in a token. A token with its own keypad needs no PIN.
    ///
    /// # Errors
    /// If the token has a key with this label, the PIN is wrong, or the token fails.
    pub fn make_in_token(location: &Pkcs11Location, pin: Option<&AuthPin>) -> anyhow::Result<Self> {
        Ok(Self::Pkcs11(Pkcs11Token::find(location)?.make(pin)?))
    }

    /// Opens a key in a token.
    ///
    /// # Errors
    /// If the token has no such key, the key is extractable, or the PIN is wrong.
    pub fn open_in_token(location: &Pkcs11Location, pin: Option<&AuthPin>) -> anyhow::Result<Self> {
        Ok(Self::Pkcs11(Pkcs11Token::find(location)?.open(pin)?))
    }

    /// Returns the public key.
    #[must_use]
    pub fn public(&self) -> CaPublicKey {
        match self {
            Self::File(key) => (*key.verifying_key()).into(),
            Self::Pkcs11(key) => key.public(),
        }
    }

    /// Signs a certificate that passed the lint.
    ///
    /// # Errors
    /// If the token fails.
    pub(crate) fn sign(&self, tbs: LintedTbs) -> anyhow::Result<UnverifiedCertificate> {
        let signature = self.sign_digest(tbs.digest())?;
        Ok(tbs.with_signature(&signature)?)
    }

    pub(crate) fn sign_digest(&self, digest: &TbsDigest) -> anyhow::Result<CaSignature> {
        match self {
            Self::File(key) => {
                let signature: Signature =
                    key.sign_prehash(digest).context("cannot sign with the root's key")?;
                Ok(signature.to_der().into())
            }
            Self::Pkcs11(key) => key.sign(digest),
        }
    }
}

/// Encrypts the key, as PEM.
fn encrypted(
    key: &SigningKey,
    passphrase: KeyFilePassphrase<'_>,
) -> anyhow::Result<Zeroizing<String>> {
    let (mut salt, mut iv) = ([0; 16], [0; 16]);
    getrandom::fill(&mut salt)?;
    getrandom::fill(&mut iv)?;
    let parameters = Parameters::generate_scrypt_aes256cbc(passphrase.cost()?, &salt, iv)
        .map_err(|error| anyhow::anyhow!("cannot encrypt the key: {error}"))?;
    let plain = key.to_pkcs8_der()?;
    let info = PrivateKeyInfoRef::try_from(plain.as_bytes())?;
    let encrypted = info.encrypt_with_params(parameters, passphrase.text())?;
    Ok(encrypted.to_pem(EncryptedPrivateKeyInfoRef::PEM_LABEL, LineEnding::LF)?)
}
