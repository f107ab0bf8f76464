//! Where a root's key is or will be, as operators say it, and what opens it.

use std::path::{Path, PathBuf};

use cryptoki::types::AuthPin;
use pki::signing::CaPublicKey;

use super::{KEY_FILE, Lock, RootKey, Token, TokenPlace};
use crate::{
    fields::KeyState,
    secret::{Passphrase, Pin},
};

/// Where a root's key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KeyPlace {
    /// In the file [`KEY_FILE`] of this directory, which is the root's.
    File(PathBuf),
    /// In a PKCS#11 token.
    Token(TokenPlace),
}

/// What can be said of a root's key before it is opened.
pub(crate) enum Key {
    /// It is not there.
    Absent,
    /// It is there; its public half is known if it is in a token.
    There(Option<CaPublicKey>),
}

/// A root's key in a PKCS#11 token, rather than in the root's directory.
#[derive(clap::Args)]
pub(crate) struct TokenArguments {
    /// The root's key is in a PKCS#11 token: the module (a library) that speaks to it.
    #[arg(long, value_name = "FILE", requires = "token_label", requires = "key_label")]
    pkcs11_module: Option<PathBuf>,
    /// The token's label.
    #[arg(long, value_name = "LABEL", requires = "pkcs11_module")]
    token_label: Option<String>,
    /// The label of the key in the token.
    #[arg(long, value_name = "LABEL", requires = "pkcs11_module")]
    key_label: Option<String>,
}

/// What opens a root's key, wherever it is.
#[derive(clap::Args)]
pub(crate) struct Secrets {
    #[command(flatten)]
    passphrase: Passphrase,
    #[command(flatten)]
    pin: Pin,
}

impl TokenArguments {
    /// Where the key of the root in `directory` is.
    pub(crate) fn place(&self, directory: &Path) -> KeyPlace {
        match (&self.pkcs11_module, &self.token_label, &self.key_label) {
            (Some(module), Some(token_label), Some(key_label)) => KeyPlace::Token(TokenPlace {
                module: module.clone(),
                token_label: token_label.clone(),
                key_label: key_label.clone(),
            }),
            _ => KeyPlace::File(directory.to_owned()),
        }
    }
}

impl Key {
    /// Its public half for a draft, and what it stands for.
    pub(crate) fn public(&self) -> anyhow::Result<(CaPublicKey, KeyState)> {
        Ok(match self {
            Self::Absent => (CaPublicKey::placeholder()?, KeyState::ToBeMade),
            Self::There(None) => (CaPublicKey::placeholder()?, KeyState::Locked),
            Self::There(Some(key)) => (*key, KeyState::Made),
        })
    }
}

impl KeyPlace {
    /// For people.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::File(directory) => directory.join(KEY_FILE).display().to_string(),
            Self::Token(place) => place.describe(),
        }
    }

    /// The key's file, unless the key is in a token.
    pub(crate) fn file(&self) -> Option<PathBuf> {
        match self {
            Self::File(directory) => Some(directory.join(KEY_FILE)),
            Self::Token(_) => None,
        }
    }

    /// Looks for the key, without opening it.
    ///
    /// # Errors
    /// When there is no such token, or something else than a key.
    pub(crate) fn look(&self) -> anyhow::Result<Key> {
        Ok(match self {
            Self::File(directory) if directory.join(KEY_FILE).exists() => Key::There(None),
            Self::File(_) => Key::Absent,
            Self::Token(place) => match Token::find(place)?.public_key()? {
                None => Key::Absent,
                found => Key::There(found),
            },
        })
    }

    /// Makes the key.
    ///
    /// # Errors
    /// When it is there, a secret is missing or wrong, or it cannot be kept.
    pub(crate) fn make(&self, secrets: &Secrets) -> anyhow::Result<RootKey> {
        match self {
            Self::File(directory) => {
                RootKey::make_file(directory, Lock::Chosen(&secrets.passphrase.choose()?))
            }
            Self::Token(place) => RootKey::make_in_token(place, secrets.pin_for(place)?.as_ref()),
        }
    }

    /// Opens the key.
    ///
    /// # Errors
    /// When it is not there, or a secret is missing or wrong.
    pub(crate) fn open(&self, secrets: &Secrets) -> anyhow::Result<RootKey> {
        match self {
            Self::File(directory) => RootKey::open_file(directory, &secrets.passphrase.read()?),
            Self::Token(place) => RootKey::open_in_token(place, secrets.pin_for(place)?.as_ref()),
        }
    }
}

impl Secrets {
    /// The token's PIN, unless the token asks for it itself.
    fn pin_for(&self, place: &TokenPlace) -> anyhow::Result<Option<AuthPin>> {
        if Token::find(place)?.asks_for_pin()? {
            return Ok(None);
        }
        Ok(Some(AuthPin::new(self.pin.read()?.as_str().into())))
    }
}
