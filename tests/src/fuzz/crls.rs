//! CRLs in DER and PEM, as a source publishes them.

use pki::crl::{VerifiedCrl, claimed_issuer, claimed_next_update};

use crate::fuzz::ca::CA;

/// Tries one input.
pub fn crls(data: &[u8]) {
    let _ = claimed_next_update(data);
    let _ = claimed_issuer(data);
    let _ = VerifiedCrl::from_der(data, &CA);
    if let Ok(text) = str::from_utf8(data) {
        let _ = VerifiedCrl::from_pem(text, &CA);
    }
}
