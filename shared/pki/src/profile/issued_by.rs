//! What the issuing CA contributes to the certificates that it issues.

use x509_cert::name::Name;

use crate::{clock::Timestamp, signing::CaPublicKey};

/// What of the issuing CA gets into the certificates it issues.
#[derive(Clone, Copy)]
pub struct IssuedBy<'a> {
    pub(crate) subject: &'a Name,
    pub(crate) key: &'a CaPublicKey,
    pub(crate) key_identifier: &'a [u8],
    pub(crate) not_before: Timestamp,
    pub(crate) not_after: Timestamp,
    pub(crate) crl_url: Option<&'a str>,
}

impl<'a> IssuedBy<'a> {
    /// A root, which issues itself.
    #[must_use]
    pub fn itself(subject: &'a Name, key: &'a CaPublicKey, key_identifier: &'a [u8]) -> Self {
        Self {
            subject,
            key,
            key_identifier,
            not_before: Timestamp::from_unix(0),
            not_after: Timestamp::NEVER,
            crl_url: None,
        }
    }

    /// The same, valid until `not_after`.
    #[must_use]
    pub fn until(self, not_after: Timestamp) -> Self {
        Self { not_after, ..self }
    }

    /// The same, with its CRL at `url`.
    #[must_use]
    pub fn with_crl(self, url: Option<&'a str>) -> Self {
        Self { crl_url: url, ..self }
    }

    /// The CA's name.
    #[must_use]
    pub fn subject(&self) -> &'a Name {
        self.subject
    }

    /// End of the CA's validity.
    #[must_use]
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }
}
