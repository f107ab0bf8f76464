//! Certificate revocation lists (CRLs): a strict subset of RFC 5280, section 5.
//!
//! A CRL takes the steps of a certificate: [`build`] encodes the to-be-signed CRL, and [`lint`] decodes it
//! and compares it with the requested contents. KMS or an offline key signs [`LintedCrl::digest`]. Only a
//! [`VerifiedCrl`] is published; the agent checks it again with the same [`VerifiedCrl::from_der`].
//!
//! Only full CRLs are supported. Brokers ignore delta CRLs or take them for full ones, and some let every
//! device in if CRLs are partitioned.

mod build;
mod denied;
mod digest;
mod entry;
mod lint;
mod parse;
mod reason;
#[cfg(test)]
mod tests;
mod validity;
mod verify;

pub use build::{Contents, TbsCrl, build};
pub use denied::{DENIED_DEVICES, denied_digest};
pub use digest::content_digest;
pub use entry::{Entry, InvalidSerial, Serial};
pub use lint::{LintedCrl, UnverifiedCrl, lint};
pub use reason::{RevocationReason, UnknownReason};
pub use validity::{BACKDATED_SECONDS, KEEP_EXPIRED_SECONDS, VALIDITY_SECONDS};
pub use verify::{CrlError, Freshness, VerifiedCrl, claimed_issuer, claimed_next_update, to_pem};
pub use x509_cert::ext::pkix::CrlReason;
