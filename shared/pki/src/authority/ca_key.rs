//! The keys of root and intermediate CAs, and verification of their signatures. They may be RSA keys or on
//! P-256, P-384 or P-521, which some corporate roots use.

use const_oid::{
    ObjectIdentifier,
    db::rfc5912::{
        ECDSA_WITH_SHA_256, ECDSA_WITH_SHA_384, ECDSA_WITH_SHA_512, ID_EC_PUBLIC_KEY, SECP_521_R_1,
    },
};
use p521::ecdsa::signature::hazmat::PrehashVerifier;
use sha2::{Digest, Sha256, Sha384, Sha512};
use spki::SubjectPublicKeyInfoOwned;

use crate::{
    key::{KeyKind, PublicKey, SignatureFault},
    signed::Signed,
};

/// The shortest digest that the crate `p521` accepts, in octets.
const SHORTEST_DIGEST: usize = 33;

/// The public key of a CA.
#[derive(Clone, Debug)]
pub(super) enum CaKey {
    Common(PublicKey),
    P521(p521::ecdsa::VerifyingKey),
}

impl CaKey {
    /// Reads a subject public key info.
    ///
    /// # Errors
    /// If the key is weak, or of a kind whose signatures many verifiers do not support.
    pub(super) fn new(key: &SubjectPublicKeyInfoOwned) -> Result<Self, String> {
        let algorithm = &key.algorithm;
        let curve = algorithm.parameters.as_ref().map(|it| it.decode_as::<ObjectIdentifier>());
        if algorithm.oid == ID_EC_PUBLIC_KEY && matches!(curve, Some(Ok(SECP_521_R_1))) {
            let point = key.subject_public_key.as_bytes().unwrap_or_default();
            let key = p521::ecdsa::VerifyingKey::from_sec1_bytes(point);
            return key.map(Self::P521).map_err(|_| "its key is not a point on P-521".into());
        }
        match PublicKey::try_from(key.clone()) {
            Ok(key) if key.kind() == KeyKind::Ed25519 => {
                Err("the kind of its key is not supported for CAs: Ed25519".into())
            }
            Ok(key) => Ok(Self::Common(key)),
            Err(fault) => Err(format!("its key cannot be used: {fault}")),
        }
    }

    pub(super) fn verify(&self, signed: &Signed<'_>) -> Result<(), SignatureFault> {
        match self {
            Self::Common(key) => signed.verify(key),
            Self::P521(key) => {
                let signature = signed.signature.as_bytes().unwrap_or_default();
                let signature = p521::ecdsa::Signature::from_der(signature);
                let signature = signature.map_err(|_| SignatureFault::Wrong)?;
                let verified = key.verify_prehash(&digest(signed)?, &signature);
                verified.map_err(|_| SignatureFault::Wrong)
            }
        }
    }
}

/// Hashes the signed part. The parameters must be absent (RFC 5758, section 3.2). A digest shorter than
/// the curve is padded with leading zeros, which leaves its value unchanged (FIPS 186-5, section 6.4.2).
fn digest(signed: &Signed<'_>) -> Result<Vec<u8>, SignatureFault> {
    let mut digest = match signed.algorithm.oid {
        _ if signed.algorithm.parameters.is_some() => return Err(SignatureFault::Algorithm),
        ECDSA_WITH_SHA_256 => Sha256::digest(signed.tbs).to_vec(),
        ECDSA_WITH_SHA_384 => Sha384::digest(signed.tbs).to_vec(),
        ECDSA_WITH_SHA_512 => Sha512::digest(signed.tbs).to_vec(),
        _ => return Err(SignatureFault::Algorithm),
    };
    let missing = SHORTEST_DIGEST.saturating_sub(digest.len());
    digest.splice(..0, std::iter::repeat_n(0, missing));
    Ok(digest)
}

#[cfg(test)]
mod tests {
    use super::{super::ChainCertificate, *};

    macro_rules! root {
        ($name:literal) => {
            include_str!(concat!("../../../../tests/fixtures/ca/", $name, ".pem"))
        };
    }

    /// Roots by OpenSSL.
    const ROOTS: [&str; 5] = [
        root!("p521-sha256"),
        root!("p521-sha384"),
        root!("p521-sha512"),
        root!("p384"),
        root!("rsa"),
    ];

    #[test]
    fn signatures_verify_with_the_key_that_made_them() {
        let roots = ROOTS.map(|pem| ChainCertificate::from_pem(pem).unwrap());
        for (i, one) in roots.iter().enumerate() {
            for (j, other) in roots.iter().enumerate() {
                assert_eq!(one.is_issued_by(other), i == j, "{i} by {j}");
            }
        }
    }

    #[test]
    fn signatures_with_unsupported_parameters_do_not_verify() {
        for pem in [root!("p521-sha1"), root!("rsa-pss-long-salt")] {
            let root = ChainCertificate::from_pem(pem).unwrap();
            let fault = super::super::chain::verify(&root, std::slice::from_ref(&root));
            assert!(fault.unwrap_err().contains("unsupported signature algorithm"));
        }
    }

    /// RFC 5758, section 3.2: the parameters are absent.
    #[test]
    fn parameters_of_an_ecdsa_signature_are_refused() {
        let root = ChainCertificate::from_pem(root!("p521-sha256")).unwrap();
        let key = CaKey::new(root.public_key()).unwrap();
        let mut signed = Signed::parse(root.der()).unwrap();
        assert_eq!(key.verify(&signed), Ok(()));
        signed.algorithm.parameters = Some(der::asn1::AnyRef::NULL);
        assert_eq!(key.verify(&signed), Err(SignatureFault::Algorithm));
    }

    #[test]
    fn other_keys_are_not_keys_of_cas() {
        let ed25519 = ChainCertificate::from_pem(root!("ed25519")).unwrap_err();
        assert!(ed25519.contains("not supported for CAs: Ed25519"), "{ed25519}");
    }
}
