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
