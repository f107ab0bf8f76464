//! The certificates of issuing CAs.

use std::ops::Deref;

use der::asn1::ObjectIdentifier;

use super::chain_certificate::ChainCertificate;
use crate::{
    profile::{IssuedBy, Usage},
    signing::CaPublicKey,
};

/// The certificate of a CA that can issue here, because its key is on P-256.
#[derive(Clone, Debug)]
pub struct CaCertificate {
    certificate: ChainCertificate,
    key: CaPublicKey,
}

impl CaCertificate {
    /// Parses a CA certificate in PEM.
    ///
    /// # Errors
    /// A message for the operator, if the text is not a CA certificate, the certificate has features that
    /// are not supported, or its key is not on P-256.
    pub fn from_pem(text: &str) -> Result<Self, String> {
        let certificate = ChainCertificate::from_pem(text)?;
        let key = CaPublicKey::try_from(certificate.public_key());
        Ok(Self { key: key.map_err(|error| error.to_string())?, certificate })
    }

    /// Returns the public key.
    #[must_use]
    pub fn key(&self) -> &CaPublicKey {
        &self.key
    }

    /// Returns the fields that this CA contributes to the certificates that it issues. Their CRL is
    /// published at `crl_url`.
    #[must_use]
    pub fn as_issuer<'a>(&'a self, crl_url: Option<&'a str>) -> IssuedBy<'a> {
        IssuedBy {
            subject: self.subject(),
            key: self.key(),
            key_identifier: self.key_identifier(),
            not_before: self.not_before(),
            not_after: self.not_after(),
            crl_url,
        }
    }

    /// Returns true if the extended key usage is exactly that of a CA for `usage`, in any order.
    #[must_use]
    pub fn is_for(&self, usage: Usage) -> bool {
        let purposes = self.constraints.key_purposes();
        purposes.is_some_and(|purposes| is_same_set(purposes, usage.key_purposes()))
    }
}

impl Deref for CaCertificate {
    type Target = ChainCertificate;

    fn deref(&self) -> &ChainCertificate {
        &self.certificate
    }
}

/// Compares as sets: an imported CA may list its purposes in any order.
fn is_same_set(purposes: &[ObjectIdentifier], wanted: &[ObjectIdentifier]) -> bool {
    purposes.len() == wanted.len() && wanted.iter().all(|purpose| purposes.contains(purpose))
}
