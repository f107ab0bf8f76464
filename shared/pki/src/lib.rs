//! The X.509 half of birthcert: what is built, checked and read, without AWS, an async runtime or I/O.
//!
//! A certificate is built from a [`profile`] and checked by [`lint`](mod@lint), which returns the digest
//! to sign. A signature makes it a [`certificate::Unverified`] certificate, and verification a
//! [`certificate::Certificate`]. A CRL goes the same way in [`crl`].
//!
//! | module | contents |
//! |---|---|
//! | [`clock`], [`token`], [`names`] | time, enrollment and device tokens, ids, labels, host names, address ranges |
//! | [`key`], [`csr`] | public keys that may be certified, key pairs, certificate signing requests |
//! | [`profile`], [`lint`](mod@lint), [`certificate`] | the to-be-signed certificate, its checks, the signed certificate |
//! | [`authority`] | CA certificates, chains up to the root, CA records |
//! | [`crl`] | certificate revocation lists |
//!
//! The clock and the random source are passed in as values.

pub mod authority;
mod base62;
pub mod certificate;
pub mod clock;
pub mod crl;
pub mod csr;
mod error;
mod hex;
pub mod key;
pub mod lint;
pub mod names;
pub mod profile;
mod signed;
pub mod signing;
pub mod token;

pub use error::{Error, Result};
pub use hex::hex;
