//! Signed certificates. A [`Certificate`] exists only after its signature was verified with the CA's key.

use der::pem::{self, LineEnding};

use crate::{
    clock::Timestamp,
    error::{Error, Result},
    signed::Signed,
    signing::CaPublicKey,
};

/// A certificate whose signature is not yet verified.
pub struct UnverifiedCertificate {
    pub(crate) der: Vec<u8>,
    pub(crate) tbs: Vec<u8>,
    pub(crate) serial_number: String,
    pub(crate) not_before: Timestamp,
    pub(crate) not_after: Timestamp,
}

/// A certificate whose signature was verified with the CA's key.
#[derive(Clone)]
pub struct Certificate {
    der: Vec<u8>,
    serial_number: String,
    not_before: Timestamp,
    not_after: Timestamp,
}

impl UnverifiedCertificate {
    /// Verifies that the signed bytes are those that were linted, and that `ca_key` signed them.
    ///
    /// # Errors
    /// [`Error::WrongSignature`] if the bytes differ or the signature does not verify.
    /// [`Error::Asn1`] if the certificate cannot be decoded.
    pub fn verify(self, ca_key: &CaPublicKey) -> Result<Certificate> {
        let signed = Signed::parse(&self.der)?;
        if signed.tbs != self.tbs || !signed.is_by(ca_key) {
            return Err(Error::WrongSignature);
        }
        let Self { der, serial_number, not_before, not_after, .. } = self;
        Ok(Certificate { der, serial_number, not_before, not_after })
    }
}

impl Certificate {
    /// Returns the DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Encodes the certificate as PEM, with a line feed at the end.
    ///
    /// # Errors
    /// Never in practice: PEM can encode any DER.
    pub fn pem(&self) -> der::Result<String> {
        Ok(pem::encode_string("CERTIFICATE", LineEnding::LF, &self.der)?)
    }

    /// Returns the serial number in lower-case hex.
    #[must_use]
    pub fn serial_number(&self) -> &str {
        &self.serial_number
    }

    /// Returns `notBefore`.
    #[must_use]
    pub fn not_before(&self) -> Timestamp {
        self.not_before
    }

    /// Returns `notAfter`.
    #[must_use]
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }
}

#[cfg(test)]
mod tests {
    use p256::ecdsa::{Signature, SigningKey, signature::hazmat::PrehashSigner};

    use super::*;
    use crate::{signed::assemble, signing::digest};

    #[test]
    fn only_the_linted_bytes_with_the_cas_signature_are_a_certificate() {
        let [key, other] = [[7; 32], [8; 32]].map(|it| SigningKey::from_slice(&it).unwrap());
        let (linted, changed) = ([0x30, 3, 2, 1, 5], [0x30, 3, 2, 1, 6]);
        let certificate = |tbs: &[u8], signer: &SigningKey| {
            let signature: Signature = signer.sign_prehash(&digest(tbs)).unwrap();
            UnverifiedCertificate {
                der: assemble(tbs, &signature.to_der().into()).unwrap(),
                tbs: linted.to_vec(),
                serial_number: "4a".into(),
                not_before: Timestamp::from_unix(1),
                not_after: Timestamp::from_unix(2),
            }
        };
        let ca_key = (*key.verifying_key()).into();
        let good = certificate(&linted, &key);
        let der = good.der.clone();
        let good = good.verify(&ca_key).unwrap();
        assert_eq!((good.der(), good.serial_number()), (&der[..], "4a"));
        assert_eq!((good.not_before().unix(), good.not_after().unix()), (1, 2));
        for wrong in [certificate(&linted, &other), certificate(&changed, &key)] {
            assert!(matches!(wrong.verify(&ca_key), Err(Error::WrongSignature)));
        }
    }
}
