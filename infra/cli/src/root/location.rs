//! Options that locate and unlock a root's key.

use std::path::{Path, PathBuf};

use cryptoki::types::AuthPin;
use pki::signing::CaPublicKey;

use super::{
    draft::DraftKey,
    key::{KEY_FILE, KeyFilePassphrase, RootKey},
    pkcs11::{Pkcs11Location, Pkcs11Token},
};
use crate::options::secret::{HEADING, Passphrase, Pin};

/// The location of a root's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KeyLocation {
    /// The file [`KEY_FILE`] in this directory, which is the root's.
    File(PathBuf),
    /// A PKCS#11 token.
    Pkcs11(Pkcs11Location),
}

/// The result of looking for a root's key without unlocking it.
pub(crate) enum KeyLookup {
    /// The key does not exist.
    NotFound,
    /// The key exists. Its public key is known if it is in a token.
    Found(Option<CaPublicKey>),
}

/// The location of a root's key in a PKCS#11 token, instead of in the root's directory.
#[derive(clap::Args)]
pub(crate) struct Pkcs11Options {
    /// PKCS#11 module: the library of the token that holds the root's key. By default, the key is in a
    /// file in the root's directory.
    #[arg(long, value_name = "FILE", requires = "token_label", requires = "key_label")]
    #[arg(help_heading = HEADING)]
    pkcs11_module: Option<PathBuf>,
    /// Label of the token.
    #[arg(long, value_name = "LABEL", requires = "pkcs11_module", help_heading = HEADING)]
    token_label: Option<String>,
    /// Label of the key in the token.
    #[arg(long, value_name = "LABEL", requires = "pkcs11_module", help_heading = HEADING)]
    key_label: Option<String>,
}

/// The secrets that unlock a root's key, in a file or in a token.
#[derive(clap::Args)]
pub(crate) struct Secrets {
    #[command(flatten)]
    passphrase: Passphrase,
    #[command(flatten)]
    pin: Pin,
}

impl Pkcs11Options {
    /// Returns the location of the key of the root in `directory`.
    pub(crate) fn location(&self, directory: &Path) -> KeyLocation {
        match (&self.pkcs11_module, &self.token_label, &self.key_label) {
            (Some(module), Some(token_label), Some(key_label)) => {
                KeyLocation::Pkcs11(Pkcs11Location {
                    module: module.clone(),
                    token_label: token_label.clone(),
                    key_label: key_label.clone(),
                })
            }
            _ => KeyLocation::File(directory.to_owned()),
        }
    }
}

impl KeyLookup {
    /// Returns a public key for a draft.
    pub(crate) fn for_draft(&self) -> anyhow::Result<(CaPublicKey, DraftKey)> {
        Ok(match self {
            Self::NotFound => (CaPublicKey::placeholder()?, DraftKey::Planned),
            Self::Found(None) => (CaPublicKey::placeholder()?, DraftKey::Locked),
            Self::Found(Some(key)) => (*key, DraftKey::Known),
        })
    }
}

impl KeyLocation {
    /// Describes the location for people.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::File(directory) => directory.join(KEY_FILE).display().to_string(),
            Self::Pkcs11(location) => location.describe(),
        }
    }

    /// Returns the key file, unless the key is in a token.
    pub(crate) fn file(&self) -> Option<PathBuf> {
        match self {
            Self::File(directory) => Some(directory.join(KEY_FILE)),
            Self::Pkcs11(_) => None,
        }
    }

    /// Looks for the key without unlocking it.
    ///
    /// # Errors
    /// If the token does not exist, or the object is not a P-256 key.
    pub(crate) fn look_up(&self) -> anyhow::Result<KeyLookup> {
        Ok(match self {
            Self::File(directory) if directory.join(KEY_FILE).exists() => KeyLookup::Found(None),
            Self::File(_) => KeyLookup::NotFound,
            Self::Pkcs11(location) => match Pkcs11Token::find(location)?.public_key()? {
                None => KeyLookup::NotFound,
                found => KeyLookup::Found(found),
            },
        })
    }

    /// Generates the key.
    ///
    /// # Errors
    /// If the key exists, a secret is missing or wrong, or the key cannot be stored.
    pub(crate) fn make(&self, secrets: &Secrets) -> anyhow::Result<RootKey> {
        match self {
            Self::File(directory) => RootKey::make_file(
                directory,
                KeyFilePassphrase::Chosen(&secrets.passphrase.choose()?),
            ),
            Self::Pkcs11(location) => {
                RootKey::make_in_token(location, secrets.pin_for(location)?.as_ref())
            }
        }
    }

    /// Unlocks the key.
    ///
    /// # Errors
    /// If the key does not exist, or a secret is missing or wrong.
    pub(crate) fn open(&self, secrets: &Secrets) -> anyhow::Result<RootKey> {
        match self {
            Self::File(directory) => RootKey::open_file(directory, &secrets.passphrase.read()?),
            Self::Pkcs11(location) => {
                RootKey::open_in_token(location, secrets.pin_for(location)?.as_ref())
            }
        }
    }
}

impl Secrets {
    /// Returns the token's PIN, unless the token has its own keypad.
    fn pin_for(&self, location: &Pkcs11Location) -> anyhow::Result<Option<AuthPin>> {
        if Pkcs11Token::find(location)?.has_keypad()? {
            return Ok(None);
        }
        Ok(Some(AuthPin::new(self.pin.read()?.as_str().into())))
    }
}
