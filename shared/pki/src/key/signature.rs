//! Verification of signatures by public keys that may be certified.

use const_oid::db::{
    rfc5912::{
        ECDSA_WITH_SHA_256, ECDSA_WITH_SHA_384, ECDSA_WITH_SHA_512, ID_RSASSA_PSS,
        SHA_256_WITH_RSA_ENCRYPTION, SHA_384_WITH_RSA_ENCRYPTION, SHA_512_WITH_RSA_ENCRYPTION,
    },
    rfc8410::ID_ED_25519,
};
use der::Encode;
use ring::signature::{
    ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
    RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512,
    UnparsedPublicKey, VerificationAlgorithm,
};
use sha2::{Digest, Sha256, Sha384, Sha512};
use signature::hazmat::PrehashVerifier;
use spki::AlgorithmIdentifierRef;

use super::public::{PublicKey, VerifyingKey};

/// The reason why a signature is refused.
///
/// `Display` is part of the `detail` of a problem document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureFault {
    /// The algorithm does not match the key, or uses a broken hash.
    #[error(
        "the signature algorithm does not match the key or is not supported; use Ed25519, or ECDSA or \
         RSA (PKCS#1 v1.5 or PSS) with SHA-256, SHA-384 or SHA-512"
    )]
    Algorithm,
    /// The signature is by another key, or over other data.
    #[error("the signature does not verify")]
    Wrong,
}

impl PublicKey {
    /// Verifies a signature over `message` by this key.
    pub(crate) fn verify(
        &self,
        algorithm: AlgorithmIdentifierRef<'_>,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), SignatureFault> {
        let verified = match &self.verifying {
            VerifyingKey::P256(key) => {
                let signature = p256::ecdsa::DerSignature::from_bytes(signature);
                let signature = signature.map_err(|_| SignatureFault::Wrong)?;
                key.verify_prehash(&prehash(algorithm, message)?, &signature).is_ok()
            }
            VerifyingKey::P384(key) => {
                let signature = p384::ecdsa::DerSignature::from_bytes(signature);
                let signature = signature.map_err(|_| SignatureFault::Wrong)?;
                key.verify_prehash(&prehash(algorithm, message)?, &signature).is_ok()
            }
            VerifyingKey::Ed25519 => {
                // RFC 8410, section 3: the parameters are absent.
                let fits = algorithm.oid == ID_ED_25519 && algorithm.parameters.is_none();
                let algorithm = fits.then_some(&ED25519 as &dyn VerificationAlgorithm);
                self.is_by(algorithm.ok_or(SignatureFault::Algorithm)?, message, signature)
            }
            VerifyingKey::Rsa => self.is_by(rsa(algorithm)?, message, signature),
        };
        if verified { Ok(()) } else { Err(SignatureFault::Wrong) }
    }

    fn is_by(
        &self,
        algorithm: &'static dyn VerificationAlgorithm,
        message: &[u8],
        signature: &[u8],
    ) -> bool {
        let key = UnparsedPublicKey::new(algorithm, self.spki.subject_public_key.raw_bytes());
        key.verify(message, signature).is_ok()
    }
}

/// RFC 5758, section 3.2: the parameters are absent.
fn prehash(
    algorithm: AlgorithmIdentifierRef<'_>,
    message: &[u8],
) -> Result<Vec<u8>, SignatureFault> {
    match algorithm.oid {
        _ if algorithm.parameters.is_some() => Err(SignatureFault::Algorithm),
        ECDSA_WITH_SHA_256 => Ok(Sha256::digest(message).to_vec()),
        ECDSA_WITH_SHA_384 => Ok(Sha384::digest(message).to_vec()),
        ECDSA_WITH_SHA_512 => Ok(Sha512::digest(message).to_vec()),
        _ => Err(SignatureFault::Algorithm),
    }
}

fn rsa(
    algorithm: AlgorithmIdentifierRef<'_>,
) -> Result<&'static dyn VerificationAlgorithm, SignatureFault> {
    let parameters = algorithm.parameters.and_then(|it| it.to_der().ok()).unwrap_or_default();
    // RFC 4055, section 5: NULL.
    let is_null = parameters == [5, 0];
    Ok(match algorithm.oid {
        SHA_256_WITH_RSA_ENCRYPTION if is_null => &RSA_PKCS1_2048_8192_SHA256,
        SHA_384_WITH_RSA_ENCRYPTION if is_null => &RSA_PKCS1_2048_8192_SHA384,
        SHA_512_WITH_RSA_ENCRYPTION if is_null => &RSA_PKCS1_2048_8192_SHA512,
        ID_RSASSA_PSS => match () {
            () if parameters == pss(1, 32) => &RSA_PSS_2048_8192_SHA256,
            () if parameters == pss(2, 48) => &RSA_PSS_2048_8192_SHA384,
            () if parameters == pss(3, 64) => &RSA_PSS_2048_8192_SHA512,
            () => return Err(SignatureFault::Algorithm),
        },
        _ => return Err(SignatureFault::Algorithm),
    })
}

/// Returns the DER of `RSASSA-PSS-params` (RFC 4055, section 3.1) with the hash number `hash` in NIST's
/// arc, MGF1 with the same hash, and a salt as long as the hash. No other parameters are supported.
fn pss(hash: u8, salt: u8) -> Vec<u8> {
    let hash =
        [&[0x30, 13, 6, 9, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02][..], &[hash, 5, 0]]
            .concat();
    let mgf = [0x30, 26, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x08];
    [&[0x30, 52, 0xa0, 15][..], &hash, &[0xa1, 28], &mgf, &hash, &[0xa2, 3, 2, 1, salt]].concat()
}
