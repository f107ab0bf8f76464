//! Public keys that may be certified: of a supported kind, in one encoding, and not known to be weak.
//!
//! A [`PublicKey`] exists only for a key that passed the checks. Each key has one encoding and thus one
//! fingerprint, by which the ledger identifies it.

use const_oid::db::{
    rfc5912::{ID_EC_PUBLIC_KEY, RSA_ENCRYPTION, SECP_256_R_1, SECP_384_R_1},
    rfc8410::ID_ED_25519,
};
use der::{Encode, asn1::ObjectIdentifier};
use sha2::{Digest, Sha256};
use spki::SubjectPublicKeyInfoOwned;

use super::{ed25519, fault::KeyFault, kinds::KeyKind, known, rsa};
use crate::hex;

/// A public key that may be certified.
#[derive(Clone, Debug)]
pub struct PublicKey {
    pub(super) spki: SubjectPublicKeyInfoOwned,
    fingerprint: String,
    pub(super) verifying: VerifyingKey,
}

/// The key as the library that verifies with it takes it.
#[derive(Clone, Debug)]
pub(super) enum VerifyingKey {
    P256(p256::ecdsa::VerifyingKey),
    P384(p384::ecdsa::VerifyingKey),
    Ed25519,
    Rsa,
}

impl PublicKey {
    /// Returns the kind of the key.
    #[must_use]
    pub fn kind(&self) -> KeyKind {
        match self.verifying {
            VerifyingKey::P256(_) => KeyKind::P256,
            VerifyingKey::P384(_) => KeyKind::P384,
            VerifyingKey::Ed25519 => KeyKind::Ed25519,
            VerifyingKey::Rsa => KeyKind::Rsa,
        }
    }

    /// Returns the subject public key info, as it appears in a certificate.
    #[must_use]
    pub fn spki(&self) -> &SubjectPublicKeyInfoOwned {
        &self.spki
    }

    /// Returns the SHA-256 of the subject public key info in DER, in lower-case hex. The ledger
    /// identifies keys by it.
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
                    SECP_256_R_1 => VerifyingKey::P256(on_curve(
                        uncompressed(bits, 32)?,
                        p256::ecdsa::VerifyingKey::from_sec1_bytes,
                    )?),
                    SECP_384_R_1 => VerifyingKey::P384(on_curve(
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
                VerifyingKey::Ed25519
            }
            // RFC 3279, section 2.3.1: the parameters are NULL.
            RSA_ENCRYPTION if !parameters.is_some_and(|it| it.is_null()) => {
                return Err(KeyFault::Encoding);
            }
            RSA_ENCRYPTION => {
                rsa::check(bits)?;
                VerifyingKey::Rsa
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

/// Returns the point if it is uncompressed and each coordinate has `octets` octets (SEC 1, section
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

#[cfg(test)]
mod tests {
    use der::{
        Any, Decode,
        asn1::{BitString, Null},
    };
    use ring::signature::{Ed25519KeyPair, KeyPair as _};
    use spki::AlgorithmIdentifierOwned;

    use super::*;
    use crate::{
        csr::{Csr, decode_pem},
        hex::octets,
    };

    fn spki(
        oid: ObjectIdentifier,
        parameters: Option<Any>,
        bits: &[u8],
    ) -> SubjectPublicKeyInfoOwned {
        SubjectPublicKeyInfoOwned {
            algorithm: AlgorithmIdentifierOwned { oid, parameters },
            subject_public_key: BitString::from_bytes(bits).unwrap(),
        }
    }

    fn ec(curve: ObjectIdentifier, point: &[u8]) -> SubjectPublicKeyInfoOwned {
        spki(ID_EC_PUBLIC_KEY, Some(Any::from(&curve)), point)
    }

    fn p256(private: &str) -> SubjectPublicKeyInfoOwned {
        let key = p256::ecdsa::SigningKey::from_slice(&octets(private)).unwrap();
        ec(SECP_256_R_1, key.verifying_key().to_sec1_point(false).as_bytes())
    }

    fn p384(private: &str) -> SubjectPublicKeyInfoOwned {
        let key = p384::ecdsa::SigningKey::from_slice(&octets(private)).unwrap();
        ec(SECP_384_R_1, key.verifying_key().to_sec1_point(false).as_bytes())
    }

    fn ed25519(private: &str) -> SubjectPublicKeyInfoOwned {
        let key = Ed25519KeyPair::from_seed_unchecked(&octets(private)).unwrap();
        spki(ID_ED_25519, None, key.public_key().as_ref())
    }

    fn fault(spki: SubjectPublicKeyInfoOwned) -> KeyFault {
        PublicKey::try_from(spki).unwrap_err()
    }

    /// Uses the private keys as they are printed. The tests of CSRs cover RSA.
    #[test]
    fn refuses_the_examples_of_rfcs() {
        for spki in [
            p256("e6cb5bdd80aa45ae9c95e8c15476679ffec953c16851e711e743939589c64fc1"),
            p384(
                "e2563328dfabf68188606b91324281c1d58a4456431b09d510b35fecc9f307ca\
                 1822846fa2671371a9a81bac0e35749d",
            ),
            p256("c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721"),
            p384(
                "6b9d3dad2e1b8c1c05b19875b6659f4de23c3b667bf297ba9aa47740787137d8\
                 96d5724e4c70a825f872c9ea60d2edf5",
            ),
            ed25519("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"),
            ed25519("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"),
            ed25519("c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7"),
            ed25519("f5e5767cf153319517630f226876b86c8160cc583bc013744c6bf255f5cc0ee5"),
            ed25519("833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42"),
            ed25519("d4ee72dbf913584ad5b6d8f1f769f8ad3afe7c28cbf1d4fbe097a88f44755842"),
            p256("8e9b109e719098bf980487df1f5d77e9cb29606ebed2263b5f57c213df84f4b2"),
            p256("f3bd0c07a81fb932781ed52752f60cc89a6be5e51934fe01938ddb55d8f77801"),
        ] {
            assert_eq!(fault(spki.clone()), KeyFault::Known, "{spki:?}");
        }
    }

    #[test]
    fn one_key_has_one_encoding() {
        let key = p256::ecdsa::SigningKey::from_slice(&[7; 32]).unwrap();
        let point = key.verifying_key().to_sec1_point(false);
        let point = point.as_bytes();
        assert_eq!(PublicKey::try_from(ec(SECP_256_R_1, point)).unwrap().kind(), KeyKind::P256);
        let compressed = key.verifying_key().to_sec1_point(true);
        assert_eq!(fault(ec(SECP_256_R_1, compressed.as_bytes())), KeyFault::Encoding);
        assert_eq!(fault(ec(SECP_256_R_1, &[0])), KeyFault::Encoding);
        assert_eq!(fault(spki(ID_EC_PUBLIC_KEY, None, point)), KeyFault::Encoding);
        let null = Some(Any::from(Null));
        assert_eq!(fault(spki(ID_EC_PUBLIC_KEY, null.clone(), point)), KeyFault::Encoding);
        assert_eq!(fault(spki(ID_ED_25519, null, &[7; 32])), KeyFault::Encoding);
        assert_eq!(fault(spki(RSA_ENCRYPTION, None, &[7; 32])), KeyFault::Encoding);
        // A sound RSA key without the NULL.
        let rsa = decode_pem(include_str!("../../../../tests/fixtures/csr/rsa.pem")).unwrap();
        let mut rsa = Csr::from_der(&rsa).unwrap().verify().unwrap().public_key().clone();
        assert!(PublicKey::try_from(rsa.clone()).is_ok());
        rsa.algorithm.parameters = None;
        assert_eq!(fault(rsa), KeyFault::Encoding);
        // Seven unused bits.
        let mut spki = ec(SECP_256_R_1, point);
        spki.subject_public_key = BitString::new(7, [point, &[0][..]].concat()).unwrap();
        assert_eq!(fault(spki), KeyFault::Encoding);
    }

    #[test]
    fn refuses_points_off_the_curve_and_other_curves() {
        for (curve, octets) in [(SECP_256_R_1, 32), (SECP_384_R_1, 48)] {
            let mut point = vec![4; 1 + 2 * octets];
            assert_eq!(fault(ec(curve, &point)), KeyFault::OffCurve);
            point[1..].fill(0);
            assert_eq!(fault(ec(curve, &point)), KeyFault::OffCurve);
            // A coordinate beyond the field.
            point[1..].fill(0xff);
            assert_eq!(fault(ec(curve, &point)), KeyFault::OffCurve);
        }
        let p521 = ObjectIdentifier::new_unwrap("1.3.132.0.35");
        assert_eq!(fault(ec(p521, &[4; 133])), KeyFault::Kind);
        let ed448 = ObjectIdentifier::new_unwrap("1.3.101.113");
        assert_eq!(fault(spki(ed448, None, &[7; 57])), KeyFault::Kind);
        // A point of P-384 under P-256's name.
        assert_eq!(fault(ec(SECP_256_R_1, &[4; 97])), KeyFault::Encoding);
    }

    #[test]
    fn a_fingerprint_is_the_hash_of_the_encoding() {
        let spki = p256(&"07".repeat(32));
        let key = PublicKey::try_from(spki.clone()).unwrap();
        assert_eq!(key.fingerprint(), hex(&Sha256::digest(spki.to_der().unwrap())));
        assert_eq!(SubjectPublicKeyInfoOwned::from_der(&spki.to_der().unwrap()).unwrap(), spki);
    }
}
