//! Signatures under the certificates of CAs, by any key that a root of somebody else's has.
//!
//! What TLS verifies by is linked already and is used here too; only P-521 comes on top, which ring
//! lacks. SHA-1 and RSA below 2048 bits are refused.

use const_oid::{
    ObjectIdentifier,
    db::rfc5912::{ID_EC_PUBLIC_KEY, RSA_ENCRYPTION, SECP_256_R_1, SECP_384_R_1, SECP_521_R_1},
};
use der::{Decode, Encode, Sequence, asn1::UintRef};
use p521::ecdsa::signature::hazmat::PrehashVerifier;
use rustls::{
    crypto::ring,
    pki_types::{SignatureVerificationAlgorithm, alg_id},
};
use sha2::{Digest, Sha512};
use spki::{AlgorithmIdentifier, SubjectPublicKeyInfoOwned};

use crate::signed::Signed;

/// The least that NIST SP 800-131A allows.
const SHORTEST_RSA: usize = 2048;
/// The most that ring takes.
const LONGEST_RSA: usize = 8192;

/// Why a signature does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is of a kind that is not supported, or of none that goes with the key.
    Unsupported,
    /// The key did not make it.
    Wrong,
}

/// RFC 8017, appendix A.1.1.
#[derive(Sequence)]
struct RsaPublicKey<'a> {
    modulus: UintRef<'a>,
    public_exponent: UintRef<'a>,
}

/// The kind of a key, as in "RSA 4096".
///
/// # Errors
/// When it is too weak for a CA, or of a kind whose signatures are not verified here.
pub fn kind(key: &SubjectPublicKeyInfoOwned) -> Result<String, String> {
    let algorithm = &key.algorithm;
    let curve =
        algorithm.parameters.as_ref().and_then(|it| it.decode_as::<ObjectIdentifier>().ok());
    match (algorithm.oid, curve) {
        (ID_EC_PUBLIC_KEY, Some(SECP_256_R_1)) => Ok("ECDSA P-256".into()),
        (ID_EC_PUBLIC_KEY, Some(SECP_384_R_1)) => Ok("ECDSA P-384".into()),
        (ID_EC_PUBLIC_KEY, Some(SECP_521_R_1)) => Ok("ECDSA P-521".into()),
        (RSA_ENCRYPTION, _) => {
            let bits = rsa_bits(key).ok_or("its RSA key is unreadable")?;
            if (SHORTEST_RSA..=LONGEST_RSA).contains(&bits) {
                Ok(format!("RSA {bits}"))
            } else {
                Err(format!("its RSA key has {bits} bits, not {SHORTEST_RSA} to {LONGEST_RSA}"))
            }
        }
        (oid, _) => Err(format!("its key is of a kind that is not supported: {oid}")),
    }
}

fn rsa_bits(key: &SubjectPublicKeyInfoOwned) -> Option<usize> {
    let key = RsaPublicKey::from_der(key.subject_public_key.as_bytes()?).ok()?;
    let octets = key.modulus.as_bytes();
    let leading = octets.first()?.leading_zeros() as usize;
    Some(octets.len() * 8 - leading)
}

/// Whether `key` made the signature.
pub(super) fn verify(key: &SubjectPublicKeyInfoOwned, signed: &Signed<'_>) -> Result<(), Fault> {
    let by = contents(&signed.algorithm).ok_or(Fault::Unsupported)?;
    let of = contents(&key.algorithm).ok_or(Fault::Unsupported)?;
    let point = key.subject_public_key.as_bytes().ok_or(Fault::Unsupported)?;
    let signature = signed.signature.as_bytes().ok_or(Fault::Wrong)?;

    if *by == *alg_id::ECDSA_SHA512 && *of == *alg_id::ECDSA_P521 {
        let key = p521::ecdsa::VerifyingKey::from_sec1_bytes(point).map_err(|_| Fault::Wrong)?;
        let signature = p521::ecdsa::Signature::from_der(signature).map_err(|_| Fault::Wrong)?;
        let digest = Sha512::digest(signed.tbs);
        return key.verify_prehash(&digest, &signature).map_err(|_| Fault::Wrong);
    }
    let algorithms = ring::default_provider().signature_verification_algorithms;
    let fits = |it: &&&dyn SignatureVerificationAlgorithm| {
        *it.signature_alg_id() == *by && *it.public_key_alg_id() == *of
    };
    let algorithm = algorithms.all.iter().find(fits).ok_or(Fault::Unsupported)?;
    algorithm.verify_signature(point, signed.tbs, signature).map_err(|_| Fault::Wrong)
}

/// An algorithm's identifier as `rustls` has it: without the sequence around.
fn contents<P>(algorithm: &AlgorithmIdentifier<P>) -> Option<Vec<u8>>
where
    AlgorithmIdentifier<P>: Encode,
{
    let der = algorithm.to_der().ok()?;
    // Shorter than 128 octets, all that are known, so that the length takes one.
    der.get(2..).map(<[u8]>::to_vec)
}
