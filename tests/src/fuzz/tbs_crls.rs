//! The signed part of CRLs, with a valid signature: what is read after the signature was verified.

use pki::clock::Timestamp;
use pki::crl::{VerifiedCrl, claimed_issuer, claimed_next_update};

use crate::fuzz::ca::{CA, sign};

/// Tries one input.
pub fn tbs_crls(tbs: &[u8]) {
    let Some(der) = sign(tbs) else {
        return;
    };
    let (issuer, next_update) = (claimed_issuer(&der), claimed_next_update(&der));
    let Ok(crl) = VerifiedCrl::from_der(der.as_slice(), &CA) else {
        return;
    };
    assert!(issuer.is_ok());
    assert!(next_update.is_ok_and(|it| it == crl.next_update()));
    assert_eq!(crl.revoked().count(), crl.len());
    let _ = crl.freshness(Timestamp::from_unix(1_800_000_000));
    let pem = crl.pem().expect("PEM");
    let again = VerifiedCrl::from_pem(&pem, &CA).expect("the same CRL");
    assert_eq!(again.der(), der);
}
