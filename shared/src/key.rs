//! Public keys that may be certified: of a known kind, in their one encoding, and not known to be weak.
//!
//! A [`PublicKey`] exists only for a key that passed. One key has one encoding and so one fingerprint,
//! which is what the store holds keys apart by.

mod ed25519;
mod kinds;
mod known;
mod roca;
mod rsa;
mod signature;

use const_oid::db::{
    rfc5912::{ID_EC_PUBLIC_KEY, RSA_ENCRYPTION, SECP_256_R_1, SECP_384_R_1},
    rfc8410::ID_ED_25519,
};
use der::{Encode, asn1::ObjectIdentifier};
use sha2::{Digest, Sha256};
use spki::SubjectPublicKeyInfoOwned;

pub use kinds::{KeyKind, KeyKinds, KeyKindsError};
pub use signature::SignatureFault;

use crate::token::hex;

/// A public key that may be certified.
#[derive(Clone, Debug)]
pub struct PublicKey {
    spki: SubjectPublicKeyInfoOwned,
    fingerprint: String,
    verifying: Verifying,
}

#[derive(Clone, Debug)]
enum Verifying {
    P256(p256::ecdsa::VerifyingKey),
    P384(p384::ecdsa::VerifyingKey),
    Ed25519,
    Rsa,
}

/// Why a key is not certified, in words for the one whose key it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    /// Another algorithm, or another curve.
    #[error("the key is of another kind than P-256, P-384, Ed25519 and RSA")]
    Kind,
    /// Parameters that should not be there, a compressed point, bits too many: a second encoding
    /// would let one key pass for two.
    #[error(
        "the key is not encoded as RFC 5480, RFC 8410 or RFC 8017 says, with its point uncompressed"
    )]
    Encoding,
    /// The point is not on its curve (SP 800-56A, section 5.6.2.3.3).
    #[error("the key is not a point on its curve")]
    OffCurve,
    /// With a point of small order anybody can make signatures.
    #[error("the key is an Ed25519 point of small order")]
    SmallOrder,
    /// Too small to be safe, or too large to be worth it.
    #[error("an RSA modulus must have 2048 to 4096 bits, in whole octets")]
    RsaSize,
    /// Another public exponent.
    #[error("the public exponent of an RSA key must be 65537")]
    RsaExponent,
    /// No product of two large primes.
    #[error("the RSA modulus has a small factor")]
    RsaFactor,
    /// Made by a library whose primes can be guessed (CVE-2017-15361).
    #[error("the RSA key was made by a library with the ROCA flaw (CVE-2017-15361)")]
    Roca,
    /// Its private half is printed somewhere.
    #[error("the private half of this key is public: it is an example of an RFC")]
    Known,
}

impl PublicKey {
    /// What kind of key it is.
    #[must_use]
    pub fn kind(&self) -> KeyKind {
        match self.verifying {
            Verifying::P256(_) => KeyKind::P256,
            Verifying::P384(_) => KeyKind::P384,
            Verifying::Ed25519 => KeyKind::Ed25519,
            Verifying::Rsa => KeyKind::Rsa,
        }
    }

    /// As it stands in a certificate.
    #[must_use]
    pub fn spki(&self) -> &SubjectPublicKeyInfoOwned {
        &self.spki
    }

    /// SHA-256 of its DER, in hex: how the ledger names keys.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }
}

impl TryFrom<SubjectPublicKeyInfoOwned> for PublicKey {
    type Error = KeyFault;

    fn try_from(spki: SubjectPublicKeyInfoOwned) -> Result<Self, KeyFault> {
        let parameters = spki.algorithm.parameters.as_ref();
        let bits = spki.subject_public_key.as_bytes().ok_or(KeyFault::Encoding)?;
        let verifying = match spki.algorithm.oid {
            ID_EC_PUBLIC_KEY => {
                // Named curves only (RFC 5480, section 2.1.1).
                let curve = parameters.and_then(|it| it.decode_as::<ObjectIdentifier>().ok());
                match curve.ok_or(KeyFault::Encoding)? {
                    SECP_256_R_1 => Verifying::P256(on_curve(
                        uncompressed(bits, 32)?,
                        p256::ecdsa::VerifyingKey::from_sec1_bytes,
                    )?),
                    SECP_384_R_1 => Verifying::P384(on_curve(
                        uncompressed(bits, 48)?,
                        p384::ecdsa::VerifyingKey::from_sec1_bytes,
                    )?),
                    _ => return Err(KeyFault::Kind),
                }
            }
            // RFC 8410, section 3: the parameters are absent.
            ID_ED_25519 if parameters.is_some() => return Err(KeyFault::Encoding),
            ID_ED_25519 => {
                ed25519::check(bits)?;
                Verifying::Ed25519
            }
            // RFC 3279, section 2.3.1: the parameters are NULL.
            RSA_ENCRYPTION if !parameters.is_some_and(|it| it.is_null()) => {
                return Err(KeyFault::Encoding);
            }
            RSA_ENCRYPTION => {
                rsa::check(bits)?;
                Verifying::Rsa
            }
            _ => return Err(KeyFault::Kind),
        };
        let fingerprint = fingerprint(&spki).map_err(|_| KeyFault::Encoding)?;
        if known::is_known(&fingerprint) {
            return Err(KeyFault::Known);
        }
        Ok(Self { spki, fingerprint, verifying })
    }
}

/// The point, if it is an uncompressed one of a curve whose coordinates have `octets` (SEC 1, section
/// 2.3.3).
fn uncompressed(bits: &[u8], octets: usize) -> Result<&[u8], KeyFault> {
    match bits {
        [4, coordinates @ ..] if coordinates.len() == 2 * octets => Ok(bits),
        _ => Err(KeyFault::Encoding),
    }
}

fn on_curve<K, E>(point: &[u8], read: impl FnOnce(&[u8]) -> Result<K, E>) -> Result<K, KeyFault> {
    read(point).map_err(|_| KeyFault::OffCurve)
}

fn fingerprint(spki: &SubjectPublicKeyInfoOwned) -> der::Result<String> {
    Ok(hex(&Sha256::digest(spki.to_der()?)))
}
