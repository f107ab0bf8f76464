//! The root CA, on a machine that should have no network: a certificate, and a key in an encrypted
//! file or in a PKCS#11 token.

pub(crate) mod ca;
pub(crate) mod draft;
pub(crate) mod key;
pub(crate) mod location;
pub(crate) mod pkcs11;

pub use {
    ca::{CERTIFICATE_FILE, NewRoot, Root, Subordinate},
    key::{KEY_FILE, KeyFilePassphrase, RootKey},
    pkcs11::Pkcs11Location,
};
