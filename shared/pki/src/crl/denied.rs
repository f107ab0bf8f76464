//! The list of denied devices that goes with a CRL, and the extension that ties it to the CRL.

use der::asn1::ObjectIdentifier;
use sha2::{Digest, Sha256};

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

/// SHA-256 of a list of denied devices, over the bytes of the file as it is published.
#[must_use]
pub fn denied_digest(file: &[u8]) -> [u8; 32] {
    Sha256::digest(file).into()
}
