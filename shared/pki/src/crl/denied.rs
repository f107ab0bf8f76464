//! The deny list, and the extension that binds it to a CRL.

use der::asn1::ObjectIdentifier;
use sha2::{Digest, Sha256};

/// The private extension that binds the deny list to a CRL, whose signature, number and
/// dates then cover both. The value is an OCTET STRING with the [`denied_digest`] of the list. It is not
/// critical, so verifiers that do not know it ignore it (RFC 5280, section 5.2).
///
/// The object identifier encodes the UUID 20ea6daa-080d-471a-ad08-c5cf8387b783 in arcs of 16 and 24 bits,
/// under and in the manner of Microsoft's arc for identifiers from UUIDs. The form `2.25.<uuid>` (ITU-T
/// X.667) has an arc of 128 bits, and Go, RustCrypto and others refuse a CRL with an arc above 31 bits.
pub const DENIED_DEVICES: ObjectIdentifier = ObjectIdentifier::new_unwrap(
    "1.2.840.113556.1.8000.2554.8426.28074.2061.18202.44296.12963715.8894339",
);

/// Returns the SHA-256 of a deny list, over the bytes of the published file.
#[must_use]
pub fn denied_digest(file: &[u8]) -> [u8; 32] {
    Sha256::digest(file).into()
}
