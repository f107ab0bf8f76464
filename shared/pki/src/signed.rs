//! The structure that certificates, CSRs and CRLs share: the signed part, the signature algorithm and the
//! signature (`SIGNED{}` of X.509).

use der::{
    Decode, Encode, Reader, Sequence, SliceReader,
    asn1::{AnyRef, BitStringRef},
};
use spki::{AlgorithmIdentifierOwned, AlgorithmIdentifierRef};

use crate::{
    key::{PublicKey, SignatureFault},
    signing::{ALGORITHM, CaPublicKey, CaSignature},
};

/// A signed structure. It keeps the received bytes of the signed part, because the signature covers
/// those and not a re-encoding.
pub(crate) struct Signed<'a> {
    pub(crate) tbs: &'a [u8],
    pub(crate) algorithm: AlgorithmIdentifierRef<'a>,
    pub(crate) signature: BitStringRef<'a>,
}

impl<'a> Signed<'a> {
    pub(crate) fn parse(der: &'a [u8]) -> der::Result<Self> {
        let mut outer = SliceReader::new(der)?;
        let signed = outer.sequence(|inner| {
            Ok::<_, der::Error>(Self {
                tbs: inner.tlv_bytes()?,
                algorithm: AlgorithmIdentifierRef::decode(inner)?,
                signature: BitStringRef::decode(inner)?,
            })
        })?;
        outer.finish()?;
        Ok(signed)
    }

    /// Returns true if the signature algorithm is `algorithm`. The signed part of a certificate or a CRL
    /// repeats it, and both must be the same (RFC 5280, sections 4.1.1.2 and 5.1.1.2).
    pub(crate) fn is_algorithm(&self, algorithm: &AlgorithmIdentifierRef<'_>) -> bool {
        self.algorithm == *algorithm
    }

    /// Verifies the signature with `key` and any supported algorithm that matches it.
    pub(crate) fn verify(&self, key: &PublicKey) -> Result<(), SignatureFault> {
        let signature = self.signature.as_bytes().ok_or(SignatureFault::Wrong)?;
        key.verify(self.algorithm, self.tbs, signature)
    }

    /// Returns true if the signature is by the issuing CA's `key` over the signed part.
    pub(crate) fn is_by(&self, key: &CaPublicKey) -> bool {
        let signature = self.signature.as_bytes();
        signature.is_some_and(|signature| key.signed(self.tbs, &self.algorithm, signature))
    }
}

/// Assembles `tbs`, byte for byte, and a signature over it into a signed structure.
pub(crate) fn assemble(tbs: &[u8], signature: &CaSignature) -> der::Result<Vec<u8>> {
    #[derive(Sequence)]
    struct Parts<'a> {
        tbs: AnyRef<'a>,
        algorithm: AlgorithmIdentifierOwned,
        signature: BitStringRef<'a>,
    }
    Parts {
        tbs: AnyRef::from_der(tbs)?,
        algorithm: ALGORITHM,
        signature: BitStringRef::from_bytes(signature.as_bytes())?,
    }
    .to_der()
}

#[cfg(test)]
impl Signed<'_> {
    /// Returns the bytes that follow the signed part: algorithm and signature.
    pub(crate) fn after_tbs(&self) -> Vec<u8> {
        [self.algorithm.to_der().unwrap(), self.signature.to_der().unwrap()].concat()
    }
}

#[cfg(test)]
mod tests {
    use getrandom::{SysRng, rand_core::UnwrapErr};
    use p256::{
        ecdsa::{Signature, SigningKey, signature::hazmat::PrehashSigner},
        elliptic_curve::Generate,
    };

    use super::*;
    use crate::signing::digest;

    #[test]
    fn takes_its_own_signature_and_no_other() {
        let key = SigningKey::generate_from_rng(&mut UnwrapErr(SysRng));
        let other = SigningKey::generate_from_rng(&mut UnwrapErr(SysRng));
        let tbs = [0x30, 0x03, 0x02, 0x01, 0x05];
        let signature: Signature = key.sign_prehash(&digest(&tbs)).unwrap();
        let der = assemble(&tbs, &signature.to_der().into()).unwrap();

        let signed = Signed::parse(&der).unwrap();
        assert_eq!(signed.tbs, tbs);
        assert!(signed.is_by(&(*key.verifying_key()).into()));
        assert!(!signed.is_by(&(*other.verifying_key()).into()));

        for place in 0..der.len() {
            let mut changed = der.clone();
            changed[place] ^= 1;
            let accepted =
                Signed::parse(&changed).is_ok_and(|s| s.is_by(&(*key.verifying_key()).into()));
            assert!(!accepted, "byte {place} changed and still accepted");
        }
        assert!(Signed::parse(&[der, vec![0]].concat()).is_err());
    }
}
