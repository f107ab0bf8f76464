//! The domain of birthcert, a serverless certificate authority for devices.
//!
//! A device enrolls with an enrollment token ([`token`], [`store`]) and asks for its identity. The
//! certificate is built from a [`profile`], checked by [`lint`], recorded on the ledger ([`store`]),
//! signed by KMS ([`kms`]), verified ([`certificate`]) and only then released; [`issue`] is that
//! path in one function. What is revoked gets into a [`crl`], which goes the same way.
//!
//! Everything here takes its clock and its randomness as values and reads no environment but in
//! [`config`].

pub mod address;
#[cfg(feature = "aws")]
pub mod audit;
pub mod authority;
#[cfg(feature = "aws")]
pub mod aws;
#[cfg(feature = "bucket")]
pub mod bucket;
#[cfg(feature = "aws")]
pub mod cache;
pub mod certificate;
pub mod clock;
#[cfg(feature = "aws")]
pub mod config;
pub mod crl;
pub mod csr;
pub mod error;
pub mod host;
pub mod id;
#[cfg(feature = "aws")]
mod issue;
pub mod key;
pub mod keypair;
#[cfg(feature = "aws")]
pub mod kms;
pub mod label;
#[cfg(feature = "lambda")]
pub mod lambda;
pub mod lint;
#[cfg(feature = "aws")]
mod meter;
#[cfg(feature = "aws")]
mod metrics;
pub mod name;
pub mod organization;
#[cfg(feature = "lambda")]
pub mod problem;
pub mod profile;
pub mod registration;
mod requested;
pub mod revocation;
pub mod service;
mod signed;
#[cfg(feature = "aws")]
pub mod store;
pub mod token;
#[cfg(feature = "lambda")]
pub mod trigger;
#[cfg(feature = "aws")]
pub mod world;

pub use error::{Error, Result};
#[cfg(feature = "aws")]
pub use issue::{Issuer, issue};
