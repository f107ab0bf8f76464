//! The signature algorithm of issuing CAs: ECDSA on P-256 with SHA-256 (RFC 5758, section 3.2).
//!
//! Key type, digest, algorithm identifier and verification are defined here and nowhere else, so that
//! adding an algorithm changes only this module. [`key`](crate::key) has the keys of devices.

use const_oid::db::rfc5912::{ECDSA_WITH_SHA_256, SECP_256_R_1};
use der::{asn1::ObjectIdentifier, referenced::OwnedToRef};
use p256::{
    AffinePoint,
    ecdsa::{DerSignature, Signature, VerifyingKey, signature::hazmat::PrehashVerifier},
};
use sha2::{Digest, Sha256};
use signature::Keypair;
use spki::{
    AlgorithmIdentifierOwned, AlgorithmIdentifierRef, DynSignatureAlgorithmIdentifier,
    SubjectPublicKeyInfoOwned,
};

use crate::key::KeyKind;

/// The kind of key of issuing CAs, brokers and services.
pub const KEY_KIND: KeyKind = KeyKind::P256;

/// The curve, which PKCS#11 identifies by the same object identifier (`CKA_EC_PARAMS`).
pub const CURVE: ObjectIdentifier = SECP_256_R_1;

/// The algorithm identifier, whose parameters are absent (RFC 5758, section 3.2).
pub(crate) const ALGORITHM: AlgorithmIdentifierOwned =
    AlgorithmIdentifierOwned { oid: ECDSA_WITH_SHA_256, parameters: None };

/// The SHA-256 digest of a to-be-signed structure, which the ledger records and the signer signs.
pub type TbsDigest = [u8; 32];

/// Computes the digest of a to-be-signed structure.
#[must_use]
pub fn digest(tbs: &[u8]) -> TbsDigest {
    Sha256::digest(tbs).into()
}

/// The public key of an issuing CA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CaPublicKey(VerifyingKey);

/// The error for a key that an issuing CA cannot have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("its key is not on P-256")]
pub struct NotP256;

/// A signature by an issuing CA, not yet verified.
#[derive(Clone, Debug)]
pub struct CaSignature(DerSignature);

/// The error for octets that are not an ECDSA signature on P-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a valid ECDSA signature on P-256")]
pub struct MalformedSignature;

impl CaPublicKey {
    /// Reads a point in the encoding of SEC 1, section 2.3.3.
    ///
    /// # Errors
    /// If the octets are not a point on the curve.
    pub fn from_point(octets: &[u8]) -> Result<Self, NotP256> {
        VerifyingKey::from_sec1_bytes(octets).map(Self).map_err(|_| NotP256)
    }

    /// Returns a stand-in for a key that a dry run may not generate: the generator of the curve, whose
    /// private key is one.
    ///
    /// # Errors
    /// Never in practice: the generator is a valid key.
    pub fn placeholder() -> Result<Self, NotP256> {
        VerifyingKey::from_affine(AffinePoint::GENERATOR).map(Self).map_err(|_| NotP256)
    }

    /// Encodes the key as a subject public key info.
    ///
    /// # Errors
    /// Never in practice: a valid key encodes.
    pub fn spki(&self) -> spki::Result<SubjectPublicKeyInfoOwned> {
        SubjectPublicKeyInfoOwned::from_key(&self.0)
    }

    /// Returns true if `signature`, made with `algorithm`, is by this key over `tbs`.
    pub(crate) fn signed(
        &self,
        tbs: &[u8],
        algorithm: &AlgorithmIdentifierRef<'_>,
        signature: &[u8],
    ) -> bool {
        algorithm.oid == ALGORITHM.oid
            && algorithm.parameters.is_none()
            && DerSignature::try_from(signature)
                .is_ok_and(|signature| self.0.verify_prehash(&digest(tbs), &signature).is_ok())
    }
}

impl TryFrom<&SubjectPublicKeyInfoOwned> for CaPublicKey {
    type Error = NotP256;

    fn try_from(spki: &SubjectPublicKeyInfoOwned) -> Result<Self, NotP256> {
        VerifyingKey::try_from(spki.owned_to_ref()).map(Self).map_err(|_| NotP256)
    }
}

impl From<VerifyingKey> for CaPublicKey {
    fn from(key: VerifyingKey) -> Self {
        Self(key)
    }
}

/// The certificate builder needs only the algorithm and the key of a signer. KMS makes the signature.
impl Keypair for CaPublicKey {
    type VerifyingKey = VerifyingKey;

    fn verifying_key(&self) -> VerifyingKey {
        self.0
    }
}

impl DynSignatureAlgorithmIdentifier for CaPublicKey {
    fn signature_algorithm_identifier(&self) -> spki::Result<AlgorithmIdentifierOwned> {
        Ok(ALGORITHM)
    }
}

impl CaSignature {
    /// Reads a signature as PKCS#11 tokens return it: two numbers of 32 octets, one after the other
    /// (PKCS#11 3.1, section 6.3.1).
    ///
    /// # Errors
    /// If the octets are not such a signature.
    pub fn from_raw(octets: &[u8]) -> Result<Self, MalformedSignature> {
        let signature = Signature::from_slice(octets).map_err(|_| MalformedSignature)?;
        Ok(Self(signature.to_der()))
    }

    /// Returns the signature as it appears in a certificate, in DER (RFC 3279, section 2.2.3).
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl TryFrom<&[u8]> for CaSignature {
    type Error = MalformedSignature;

    fn try_from(der: &[u8]) -> Result<Self, MalformedSignature> {
        DerSignature::try_from(der).map(Self).map_err(|_| MalformedSignature)
    }
}

impl From<DerSignature> for CaSignature {
    fn from(signature: DerSignature) -> Self {
        Self(signature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::csr::{Csr, decode_pem};

    #[test]
    fn other_octets_are_not_a_signature() {
        for octets in [&[][..], &[1; 63], &[1; 65], &[0; 64], &[0xff; 64]] {
            assert_eq!(CaSignature::from_raw(octets).err(), Some(MalformedSignature));
            assert_eq!(CaSignature::try_from(octets).err(), Some(MalformedSignature));
        }
        let signature = CaSignature::from_raw(&[1; 64]).unwrap();
        let der = signature.as_bytes();
        assert!(CaSignature::try_from(der).is_ok());
        assert!(CaSignature::try_from(&der[1..]).is_err());
        assert!(CaSignature::try_from([der, &[0]].concat().as_slice()).is_err());
    }

    #[test]
    fn keys_of_other_kinds_are_refused() {
        for octets in [&[][..], &[0], &[4; 65]] {
            assert_eq!(CaPublicKey::from_point(octets), Err(NotP256));
        }
        for pem in [
            include_str!("../../../tests/fixtures/csr/p384.pem"),
            include_str!("../../../tests/fixtures/csr/ed25519.pem"),
            include_str!("../../../tests/fixtures/csr/rsa.pem"),
        ] {
            let csr = Csr::from_der(&decode_pem(pem).unwrap()).unwrap().verify().unwrap();
            assert_eq!(CaPublicKey::try_from(csr.public_key()), Err(NotP256));
        }
    }
}
