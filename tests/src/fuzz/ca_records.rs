//! Records of CAs, whose certificates and chains anybody may have written who can write the table.

use pki::authority::{Authority, AuthorityRecord, Roots};
use pki::clock::Timestamp;
use pki::profile::Usage;

/// Tries one input.
pub fn ca_records(data: &[u8]) {
    let Ok(record) = serde_json::from_slice::<AuthorityRecord>(data) else {
        return;
    };
    let _ = Roots::default().admit(record.clone());
    if let Ok(authority) = Authority::try_from(record) {
        let now = Timestamp::from_unix(1_800_000_000);
        for usage in Usage::ALL {
            let _ = authority.check(usage, now, now);
        }
    }
}
