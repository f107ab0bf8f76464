//! Key pairs generated for devices that cannot generate their own.
//!
//! The private key exists in one response and nowhere else. Every buffer here that holds it is wiped
//! on drop.

use der::{Encode, asn1::OctetStringRef, pem::LineEnding};
use p256::{
    NistP256,
    ecdsa::SigningKey,
    elliptic_curve::{ALGORITHM_OID, Generate},
};
use pkcs8::{AssociatedOid, PrivateKeyInfoRef, SecretDocument};
use rand_core::CryptoRng;
use sec1::EcPrivateKey;
use spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoOwned};
use zeroize::Zeroizing;

/// A P-256 key pair. It implements neither `Debug` nor `Clone`, so that it is not logged or copied.
pub struct KeyPair(SigningKey);

impl KeyPair {
    /// Generates a key pair.
    pub fn generate(rng: &mut (impl CryptoRng + ?Sized)) -> Self {
        Self(SigningKey::generate_from_rng(rng))
    }

    /// Returns the public key.
    ///
    /// # Errors
    /// Never in practice: a valid key encodes.
    pub fn public_key(&self) -> der::Result<SubjectPublicKeyInfoOwned> {
        SubjectPublicKeyInfoOwned::from_key(self.0.verifying_key())
            .map_err(|_| der::ErrorKind::Failed.into())
    }

    /// Encodes the private key as PKCS#8 (RFC 5958) in PEM, including the public key (RFC 5915).
    ///
    /// # Errors
    /// Never in practice: a valid key encodes.
    pub fn private_key_pem(&self) -> der::Result<Zeroizing<String>> {
        // p256's own encoder would compute the public key again, which takes a fifth of the time of a
        // whole certificate.
        let scalar = Zeroizing::new(self.0.to_bytes());
        let point = self.0.verifying_key().to_sec1_point(false);
        let key = EcPrivateKey {
            private_key: &scalar,
            parameters: None,
            public_key: Some(point.as_bytes()),
        };
        let key = Zeroizing::new(key.to_der()?);
        let algorithm = AlgorithmIdentifierRef {
            oid: ALGORITHM_OID,
            parameters: Some((&NistP256::OID).into()),
        };
        let info = PrivateKeyInfoRef::new(algorithm, OctetStringRef::new(&key)?);
        SecretDocument::encode_msg(&info)?.to_pem("PRIVATE KEY", LineEnding::LF)
    }
}

#[cfg(test)]
mod tests {
    use getrandom::{SysRng, rand_core::UnwrapErr};
    use p256::{SecretKey, pkcs8::DecodePrivateKey};
    use pkcs8::EncodePrivateKey;

    use super::*;

    #[test]
    fn encodes_as_p256_itself_does() {
        let pair = KeyPair::generate(&mut UnwrapErr(SysRng));
        let pem = pair.private_key_pem().unwrap();
        let read = SecretKey::from_pkcs8_pem(&pem).unwrap();
        assert_eq!(read.to_pkcs8_pem(LineEnding::LF).unwrap(), pem);
        assert_eq!(SigningKey::from(read).verifying_key(), pair.0.verifying_key());
    }
}
