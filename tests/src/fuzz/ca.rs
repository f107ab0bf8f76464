//! A CA whose key is known, so that what the fuzzer makes up is signed.

use std::sync::LazyLock;

use der::asn1::BitString;
use der::{Any, Decode as _, Encode as _, Tag};
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use pki::authority::CaCertificate;

/// The private key, 32 octets of this value.
const OCTET: u8 = 7;
/// ecdsa-with-SHA256 (RFC 5758, section 3.2).
const ALGORITHM: &[u8] = &[0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];

/// The CA's certificate.
pub(super) static CA: LazyLock<CaCertificate> =
    LazyLock::new(|| CaCertificate::from_pem(include_str!("../../fuzz/ca.pem")).expect("a CA"));

/// Signs the signed part of a certificate, CSR or CRL. Returns the whole, or nothing if `tbs` is not DER.
pub(super) fn sign(tbs: &[u8]) -> Option<Vec<u8>> {
    Any::from_der(tbs).ok()?;
    let key = SigningKey::from_slice(&[OCTET; 32]).ok()?;
    let signature: Signature = key.sign(tbs);
    let signature = BitString::from_bytes(signature.to_der().as_bytes()).ok()?;
    let parts = [tbs, ALGORITHM, &signature.to_der().ok()?].concat();
    Any::new(Tag::Sequence, parts).ok()?.to_der().ok()
}
