//! X.509 for birthcert: builds, checks and parses certificates and CRLs, without AWS, an async runtime or
//! I/O.
//!
//! [`profile::build`] builds a to-be-signed certificate, and [`lint`](mod@lint) checks it and returns the
//! digest to sign. Adding the signature gives a [`certificate::UnverifiedCertificate`], and verifying it a
//! [`certificate::Certificate`]. CRLs take the same steps in [`crl`].
//!
//! | module | contents |
//! |---|---|
//! | [`clock`], [`token`], [`names`] | time, enrollment and device tokens, ids, labels, host names, address ranges |
//! | [`key`], [`csr`] | public keys that may be certified, key pairs, certificate signing requests |
//! | [`profile`], [`lint`](mod@lint), [`certificate`] | to-be-signed certificates, their checks, signed certificates |
//! | [`authority`] | CA certificates, chains up to the root, CA records |
//! | [`crl`] | certificate revocation lists |
//!
//! Callers pass in the time and the random source as values.
#![doc = "\n"]
#![doc = include_str!("../../README.md")]

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
mod pem;
pub mod profile;
mod signed;
pub mod signing;
pub mod token;

pub use error::{Error, Result};
pub use hex::hex;
