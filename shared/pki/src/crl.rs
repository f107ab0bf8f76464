//! Certificate revocation lists: RFC 5280, section 5, as narrow as it goes.
//!
//! A list goes the way of a certificate: [`build`] makes what is to be signed, [`lint`] reads it back
//! from its bytes and holds it against what was asked for, its [`LintedCrl::digest`] is signed by KMS
//! or by an offline key, and only a [`VerifiedCrl`] is published. The one who fetches it reads it with
//! the same [`VerifiedCrl::from_der`].
//!
//! Full lists only: no deltas, which brokers ignore or take for the whole, and no shards, with which
//! some of them let everyone in.

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
pub use entry::{BadSerial, Entry, Serial};
pub use lint::{LintedCrl, UnverifiedCrl, lint};
pub use reason::{RevocationReason, UnknownReason};
pub use validity::{BACKDATED_SECONDS, VALIDITY_SECONDS};
pub use verify::{CrlError, Freshness, VerifiedCrl, claimed_end, claimed_issuer, to_pem};
pub use x509_cert::ext::pkix::CrlReason;
