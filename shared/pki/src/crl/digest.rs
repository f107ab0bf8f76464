//! The digest that tells a publisher if the contents of a CRL have changed.

use der::Encode;
use sha2::{Digest, Sha256};

use super::entry::Entry;

/// Returns the SHA-256 of the contents of a CRL, without its number and dates. An equal digest means that
/// there is nothing new to publish.
///
/// # Errors
/// If a date is after the year 9999.
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
    // No entry begins with a zero octet, so this separates the entries from the digest.
    hash.update([0]);
    hash.update(denied_devices.map_or(&[][..], |digest| digest));
    Ok(hash.finalize().into())
}
