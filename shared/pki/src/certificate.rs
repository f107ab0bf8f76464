//! Certificates after the signature: unverified at first, then [`Certificate`], which only exists
//! once its signature was checked with its CA's key.

use der::pem::{self, LineEnding};

use crate::{
    clock::Timestamp,
    error::{Error, Result},
    signed::Signed,
    signing::CaPublicKey,
};

/// A certificate with a signature that nobody checked yet.
pub struct Unverified {
    pub(crate) der: Vec<u8>,
    pub(crate) tbs: Vec<u8>,
    pub(crate) serial_number: String,
    pub(crate) not_before: Timestamp,
    pub(crate) not_after: Timestamp,
}

/// A certificate that its CA signed: the signature was verified.
#[derive(Clone)]
pub struct Certificate {
    der: Vec<u8>,
    serial_number: String,
    not_before: Timestamp,
    not_after: Timestamp,
}

impl Unverified {
    /// Checks that what was signed is what was linted, byte for byte, and that `ca_key` signed it.
    ///
    /// # Errors
    /// [`Error::WrongSignature`] when not.
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
    /// Its DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Its PEM, with a line feed at the end.
    ///
    /// # Errors
    /// Never in practice: what was decoded encodes.
    pub fn pem(&self) -> der::Result<String> {
        Ok(pem::encode_string("CERTIFICATE", LineEnding::LF, &self.der)?)
    }

    /// Lower-case hex.
    #[must_use]
    pub fn serial_number(&self) -> &str {
        &self.serial_number
    }

    /// Begin of validity.
    #[must_use]
    pub fn not_before(&self) -> Timestamp {
        self.not_before
    }

    /// End of validity.
    #[must_use]
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }
}
