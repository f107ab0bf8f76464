//! The fields that an issuing CA contributes to the certificates that it issues.

use x509_cert::name::Name;

use crate::{clock::Timestamp, signing::CaPublicKey};

/// The fields of an issuing CA that its certificates repeat or that limit them.
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
    /// Describes a root CA, which issues its own certificate.
    #[must_use]
    pub fn self_signed(subject: &'a Name, key: &'a CaPublicKey, key_identifier: &'a [u8]) -> Self {
        Self {
            subject,
            key,
            key_identifier,
            not_before: Timestamp::from_unix(0),
            not_after: Timestamp::NEVER,
            crl_url: None,
        }
    }

    /// Sets the end of validity.
    #[must_use]
    pub fn until(self, not_after: Timestamp) -> Self {
        Self { not_after, ..self }
    }

    /// Sets the URL of the CRL.
    #[must_use]
    pub fn with_crl(self, url: Option<&'a str>) -> Self {
        Self { crl_url: url, ..self }
    }

    /// Returns the CA's subject.
    #[must_use]
    pub fn subject(&self) -> &'a Name {
        self.subject
    }

    /// Returns the end of the CA's validity.
    #[must_use]
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::distinguished;

    #[test]
    fn a_planned_ca_has_the_end_and_the_crl_that_it_is_given() {
        let (subject, key) = (distinguished("CA", None), CaPublicKey::placeholder());
        let (subject, key) = (subject.unwrap(), key.unwrap());
        let end = Timestamp::from_unix(1_800_000_000);
        let plain = IssuedBy::self_signed(&subject, &key, b"key");
        assert_eq!((plain.not_after(), plain.crl_url), (Timestamp::NEVER, None));
        let planned = plain.until(end).with_crl(Some("http://crl.example/root.crl"));
        assert_eq!(planned.subject(), &subject);
        assert_eq!(planned.not_after(), end);
        assert_eq!(planned.crl_url, Some("http://crl.example/root.crl"));
    }
}
