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
    /// The salt of an RSASSA-PSS signature is not as long as its hash. `openssl` 3.0 makes the longest salt
    /// that fits, unless told otherwise.
    #[error(
        "the salt of the RSASSA-PSS signature is not as long as the hash; sign with such a salt, as \
         openssl does with -sigopt rsa_pss_saltlen:digest, or with PKCS#1 v1.5"
    )]
    Salt,
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
        ID_RSASSA_PSS => return pss(&parameters),
        _ => return Err(SignatureFault::Algorithm),
    })
}

/// Reads `RSASSA-PSS-params` (RFC 4055, section 3.1): a hash, MGF1 with the same hash, and a salt as long as
/// the hash. No other parameters are supported.
fn pss(parameters: &[u8]) -> Result<&'static dyn VerificationAlgorithm, SignatureFault> {
    // The number of the hash in NIST's arc, and its length.
    let known: [(u8, u8, &dyn VerificationAlgorithm); 3] = [
        (1, 32, &RSA_PSS_2048_8192_SHA256),
        (2, 48, &RSA_PSS_2048_8192_SHA384),
        (3, 64, &RSA_PSS_2048_8192_SHA512),
    ];
    // The length of the SEQUENCE depends on the salt's.
    let [0x30, _, fields @ ..] = parameters else { return Err(SignatureFault::Algorithm) };
    for (hash, length, algorithm) in known {
        let salt = [0xa2, 3, 2, 1, length];
        match fields.strip_prefix(&pss_hashes(hash)[..]) {
            Some(rest) if rest == salt => return Ok(algorithm),
            // Followed by a trailer of another kind.
            Some(rest) if rest.starts_with(&salt) => break,
            Some(_) => return Err(SignatureFault::Salt),
            None => {}
        }
    }
    Err(SignatureFault::Algorithm)
}

/// Returns the DER of the first two fields: the hash with the number `hash`, and MGF1 with it.
fn pss_hashes(hash: u8) -> Vec<u8> {
    let hash =
        [&[0x30, 13, 6, 9, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02][..], &[hash, 5, 0]]
            .concat();
    let mgf = [0x30, 26, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x08];
    [&[0xa0, 15][..], &hash, &[0xa1, 28], &mgf, &hash].concat()
}

#[cfg(test)]
mod tests {
    use const_oid::ObjectIdentifier;
    use der::{Decode, asn1::AnyRef};
    use signature::hazmat::PrehashSigner;
    use spki::SubjectPublicKeyInfoOwned;

    use super::*;
    use crate::{
        csr::{Csr, decode_pem},
        hex::octets,
    };

    const SHA_1_WITH_RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.5");
    const NULL: &str = "0500";
    /// RSASSA-PSS with SHA-256 and a salt of 32 octets, as `openssl req` writes it.
    const PSS_SHA256: &str = "3034a00f300d06096086480165030402010500a11c301a06092a864886f70d010108\
                              300d06096086480165030402010500a203020120";
    /// The same with 222 octets, the default of `openssl req` for a 2048-bit key.
    const PSS_222: &str = "3035a00f300d06096086480165030402010500a11c301a06092a864886f70d010108\
                           300d06096086480165030402010500a204020200de";
    /// The same with 20 octets, the default of RFC 8017, which DER leaves out.
    const PSS_20: &str = "302fa00f300d06096086480165030402010500a11c301a06092a864886f70d010108\
                          300d06096086480165030402010500";

    fn chosen(oid: ObjectIdentifier, parameters: &str) -> Result<String, SignatureFault> {
        let der = octets(parameters);
        let parameters = (!der.is_empty()).then(|| AnyRef::from_der(&der).unwrap());
        rsa(AlgorithmIdentifierRef { oid, parameters }).map(|algorithm| format!("{algorithm:?}"))
    }

    #[test]
    fn an_ecdsa_signature_may_have_any_of_three_hashes() {
        let signer = p256::ecdsa::SigningKey::from_slice(&[7; 32]).unwrap();
        let spki = SubjectPublicKeyInfoOwned::from_key(signer.verifying_key()).unwrap();
        let key = PublicKey::try_from(spki).unwrap();
        let message = b"message";
        let hashes = [
            (ECDSA_WITH_SHA_256, Sha256::digest(message).to_vec()),
            (ECDSA_WITH_SHA_384, Sha384::digest(message).to_vec()),
            (ECDSA_WITH_SHA_512, Sha512::digest(message).to_vec()),
        ];
        for (signed_with, hash) in &hashes {
            let signature: p256::ecdsa::Signature = signer.sign_prehash(hash).unwrap();
            for (oid, _) in &hashes {
                let algorithm = AlgorithmIdentifierRef { oid: *oid, parameters: None };
                let verified = key.verify(algorithm, message, signature.to_der().as_bytes());
                assert_eq!(verified.is_ok(), oid == signed_with, "{signed_with} as {oid}");
            }
        }
    }

    /// RFC 8410, section 3, and RFC 5758, section 3.2: the parameters are absent.
    #[test]
    fn a_signature_with_parameters_or_of_another_kind_is_refused() {
        let key = |pem: &str| {
            let der = decode_pem(pem).unwrap();
            let csr = Csr::from_der(&der).unwrap().verify().unwrap();
            PublicKey::try_from(csr.public_key().clone()).unwrap()
        };
        let ed25519 = key(include_str!("../../../../tests/fixtures/csr/ed25519.pem"));
        let p256 = key(include_str!("../../../../tests/fixtures/csr/p256.pem"));
        // SEQUENCE { INTEGER 1, INTEGER 1 }, which is not a signature over anything here.
        let ecdsa = octets("3006020101020101");
        let null = Some(AnyRef::NULL);
        for (key, oid, parameters, signature, fault) in [
            (&ed25519, ID_ED_25519, None, &[0; 64][..], SignatureFault::Wrong),
            (&ed25519, ID_ED_25519, null, &[0; 64], SignatureFault::Algorithm),
            (&ed25519, ECDSA_WITH_SHA_256, None, &[0; 64], SignatureFault::Algorithm),
            (&p256, ECDSA_WITH_SHA_256, None, &ecdsa, SignatureFault::Wrong),
            (&p256, ECDSA_WITH_SHA_256, null, &ecdsa, SignatureFault::Algorithm),
            (&p256, ID_ED_25519, None, &ecdsa, SignatureFault::Algorithm),
        ] {
            let algorithm = AlgorithmIdentifierRef { oid, parameters };
            assert_eq!(key.verify(algorithm, b"message", signature), Err(fault), "{oid}");
        }
    }

    #[test]
    fn an_rsa_signature_names_its_padding_and_its_hash() {
        let pss = |hash, salt| {
            PSS_SHA256.replace("0402010500", hash).replace("020120", &format!("0201{salt}"))
        };
        let known: [(_, &str, &dyn VerificationAlgorithm); 6] = [
            (SHA_256_WITH_RSA_ENCRYPTION, NULL, &RSA_PKCS1_2048_8192_SHA256),
            (SHA_384_WITH_RSA_ENCRYPTION, NULL, &RSA_PKCS1_2048_8192_SHA384),
            (SHA_512_WITH_RSA_ENCRYPTION, NULL, &RSA_PKCS1_2048_8192_SHA512),
            (ID_RSASSA_PSS, PSS_SHA256, &RSA_PSS_2048_8192_SHA256),
            (ID_RSASSA_PSS, &pss("0402020500", "30"), &RSA_PSS_2048_8192_SHA384),
            (ID_RSASSA_PSS, &pss("0402030500", "40"), &RSA_PSS_2048_8192_SHA512),
        ];
        for (oid, parameters, algorithm) in known {
            assert_eq!(chosen(oid, parameters), Ok(format!("{algorithm:?}")));
        }
    }

    #[test]
    fn other_parameters_of_an_rsa_signature_are_refused() {
        let (algorithm, salt) = (SignatureFault::Algorithm, SignatureFault::Salt);
        let with_trailer = PSS_SHA256.replace("3034", "3039") + "a303020102";
        for (oid, parameters, fault) in [
            (SHA_1_WITH_RSA, NULL, algorithm),
            (SHA_256_WITH_RSA_ENCRYPTION, "", algorithm),
            (SHA_384_WITH_RSA_ENCRYPTION, "", algorithm),
            (SHA_512_WITH_RSA_ENCRYPTION, PSS_SHA256, algorithm),
            (ID_RSASSA_PSS, "", algorithm),
            (ID_RSASSA_PSS, NULL, algorithm),
            // All defaults: SHA-1.
            (ID_RSASSA_PSS, "3000", algorithm),
            (ID_RSASSA_PSS, &PSS_SHA256.replace("3034", "3134"), algorithm),
            (ID_RSASSA_PSS, &PSS_SHA256.replacen("0201", "0202", 1), algorithm),
            (ID_RSASSA_PSS, &with_trailer, algorithm),
            (ID_RSASSA_PSS, PSS_222, salt),
            (ID_RSASSA_PSS, PSS_20, salt),
            (ID_RSASSA_PSS, &PSS_SHA256.replace("020120", "02011f"), salt),
        ] {
            assert_eq!(chosen(oid, parameters), Err(fault), "{oid} {parameters}");
        }
    }
}
