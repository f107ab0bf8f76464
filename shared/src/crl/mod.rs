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
mod entry;
mod lint;
mod parse;
#[cfg(test)]
mod tests;
mod verify;

use der::{Encode, asn1::ObjectIdentifier};
use sha2::{Digest, Sha256};

pub use build::{Contents, TbsCrl, build};
pub use entry::{BadSerial, Entry, Serial};
pub use lint::{LintedCrl, UnverifiedCrl, lint};
pub use verify::{CrlError, Freshness, VerifiedCrl, claimed_end, claimed_issuer, to_pem};
pub use x509_cert::ext::pkix::CrlReason;

/// How long a list is good unless a newer one comes, in seconds: 7 days. As long as that a publisher
/// may be out of order before brokers refuse everyone.
pub const VALIDITY_SECONDS: u64 = 7 * 24 * 60 * 60;

/// A list says that it is so many seconds older than it is: brokers refuse *everyone* by a list that
/// is not valid yet, and it reaches them within seconds, which is less than some clocks are off.
pub const BACKDATED_SECONDS: u64 = 5 * 60;

/// The private extension that ties the list of denied devices to a CRL, which so is signed, numbered
/// and dated with it: an OCTET STRING, the [`denied_digest`] of the list. Never critical, so that
/// those who do not know it ignore it (RFC 5280, section 5.2).
///
/// A UUID in arcs that everybody can read. As `2.25.<uuid>` (ITU-T X.667) it would be one arc of 128
/// bits, and Go, RustCrypto and others refuse the whole list for an arc beyond 31 bits. So its arcs
/// are of 16 and 24 bits, in the way and under the arc that Microsoft has for identifiers from UUIDs;
/// the UUID is 20ea6daa-080d-471a-ad08-c5cf8387b783.
pub const DENIED_DEVICES: ObjectIdentifier = ObjectIdentifier::new_unwrap(
    "1.2.840.113556.1.8000.2554.8426.28074.2061.18202.44296.12963715.8894339",
);

/// SHA-256 of what a list says, whatever its number and dates: whether there is anything new.
///
/// # Errors
/// When a date is beyond the year 9999.
pub fn content_digest(
    revoked: &[Entry],
    denied_devices: Option<&[u8; 32]>,
) -> der::Result<[u8; 32]> {
    let (mut hash, mut octets) = (Sha256::new(), Vec::new());
    for entry in revoked {
        octets.clear();
        entry.encode_to_vec(&mut octets)?;
        hash.update(&octets);
    }
    // No entry begins with it.
    hash.update([0]);
    hash.update(denied_devices.map_or(&[][..], |digest| digest));
    Ok(hash.finalize().into())
}

/// SHA-256 of a list of denied devices, over the bytes of the file as it is published.
#[must_use]
pub fn denied_digest(file: &[u8]) -> [u8; 32] {
    Sha256::digest(file).into()
}
