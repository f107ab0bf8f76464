//! The digest by which a publisher sees whether there is anything new to publish.

use der::Encode;
use sha2::{Digest, Sha256};

use super::entry::Entry;

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
