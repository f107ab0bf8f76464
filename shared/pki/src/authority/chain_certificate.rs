//! CA certificates with a key of any supported kind.

use der::{Decode, pem};
use spki::SubjectPublicKeyInfoOwned;
use x509_cert::{
    Certificate,
    ext::pkix::{BasicConstraints, KeyUsage, SubjectKeyIdentifier},
    name::Name,
};

use super::{ca_key::CaKey, constraints::Constraints};
use crate::{clock::Timestamp, key::SignatureFault, pem::only_block, signed::Signed};

/// A parsed CA certificate, of a root, an intermediate or a subordinate CA.
#[derive(Clone, Debug)]
pub struct ChainCertificate {
    der: Vec<u8>,
    pem: String,
    subject: Name,
    issuer: Name,
    public_key: SubjectPublicKeyInfoOwned,
    key: CaKey,
    key_identifier: Vec<u8>,
    not_before: Timestamp,
    not_after: Timestamp,
    pub(super) constraints: Constraints,
}

impl ChainCertificate {
    /// Parses a CA certificate in PEM. Text before it, such as a byte order mark, is ignored.
    ///
    /// # Errors
    /// A message for the operator, if the text is not one CA certificate, or the certificate has a key or an
    /// extension that is not supported.
    pub fn from_pem(text: &str) -> Result<Self, String> {
        let block = only_block(text)?;
        let (label, der) =
            pem::decode_vec(block.as_bytes()).map_err(|e| format!("not PEM: {e}"))?;
        if label != "CERTIFICATE" {
            return Err(format!("the PEM label is {label}, not CERTIFICATE"));
        }
        let read = Certificate::from_der(&der).map_err(|e| format!("not a certificate: {e}"))?;
        let tbs = read.tbs_certificate();
        let unreadable = |e: der::Error| format!("an extension cannot be decoded: {e}");

        let constraints = tbs.get_extension::<BasicConstraints>().map_err(unreadable)?;
        if !constraints.is_some_and(|(critical, it)| critical && it.ca) {
            return Err("not a CA certificate: it needs critical basicConstraints with cA".into());
        }
        let usage = tbs.get_extension::<KeyUsage>().map_err(unreadable)?;
        if !usage.is_some_and(|(_, it)| it.key_cert_sign() && it.crl_sign()) {
            return Err("its keyUsage lacks keyCertSign or cRLSign".into());
        }
        // RFC 5280, section 4.1.1.2.
        if read.signature_algorithm() != tbs.signature() {
            return Err("its two signature algorithms differ".into());
        }
        let key_identifier = tbs.get_extension::<SubjectKeyIdentifier>().map_err(unreadable)?;
        let key_identifier = key_identifier.ok_or("it has no subjectKeyIdentifier")?.1;

        Ok(Self {
            // Encoded again, so that extra text and line endings of the operator's file do not get into
            // every device's chain.
            pem: pem::encode_string("CERTIFICATE", pem::LineEnding::LF, &der)
                .map_err(|e| format!("cannot be encoded as PEM: {e}"))?,
            subject: tbs.subject().clone(),
            issuer: tbs.issuer().clone(),
            key: CaKey::new(tbs.subject_public_key_info())?,
            public_key: tbs.subject_public_key_info().clone(),
            key_identifier: key_identifier.0.as_bytes().to_vec(),
            not_before: tbs.validity().not_before.into(),
            not_after: tbs.validity().not_after.into(),
            constraints: Constraints::read(tbs)?,
            der,
        })
    }

    /// Returns the DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Returns the PEM, with a line feed at the end.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Returns the subject.
    #[must_use]
    pub fn subject(&self) -> &Name {
        &self.subject
    }

    /// Returns the public key.
    #[must_use]
    pub fn public_key(&self) -> &SubjectPublicKeyInfoOwned {
        &self.public_key
    }

    /// Returns the subject key identifier.
    #[must_use]
    pub fn key_identifier(&self) -> &[u8] {
        &self.key_identifier
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

    /// Returns the issuer's name.
    #[must_use]
    pub fn issuer(&self) -> &Name {
        &self.issuer
    }

    /// Returns true if `issuer` issued this certificate, by name and signature.
    #[must_use]
    pub fn is_issued_by(&self, issuer: &Self) -> bool {
        self.verify(issuer).is_ok()
    }

    /// Returns true if this root is the trust anchor with this name and key. A trust anchor is a name and a key
    /// (RFC 5280, section 6.1.1 (d)): verifiers that trust one certificate of a root accept what is below
    /// another certificate of it.
    #[must_use]
    pub fn is_same_anchor(&self, name: &Name, public_key: &SubjectPublicKeyInfoOwned) -> bool {
        self.subject == *name && self.public_key == *public_key
    }

    /// Verifies the name and the signature of the issuer.
    pub(super) fn verify(&self, issuer: &Self) -> Result<(), SignatureFault> {
        if self.issuer != issuer.subject {
            return Err(SignatureFault::Wrong);
        }
        let signed = Signed::parse(&self.der).map_err(|_| SignatureFault::Wrong)?;
        issuer.key.verify(&signed)
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::foreign::{Foreign, NOW, ca, raw},
        *,
    };

    #[test]
    fn holds_the_fields_of_its_certificate() {
        let root = Foreign::root("Root", ca(None, b"root"));
        let certificate = root.issue("Sub", ca(Some(0), b"sub")).certificate();
        assert_eq!(certificate.issuer(), root.certificate().subject());
        assert_ne!(certificate.subject(), certificate.issuer());
        assert_eq!(certificate.key_identifier(), b"sub");
        let validity = (certificate.not_before(), certificate.not_after());
        assert_eq!(validity, (NOW.minus(1000), NOW.plus(1_000_000)));
    }

    #[test]
    fn a_certificate_that_may_not_sign_certificates_and_crls_is_not_a_cas() {
        let good = ca(None, b"key");
        // basicConstraints, keyUsage and subjectKeyIdentifier, each in place of the good one.
        for (place, other, expected) in [
            (0, Some(raw("2.5.29.19", true, "30030101ff")), None),
            (0, None, Some("not a CA certificate")),
            (0, Some(raw("2.5.29.19", true, "3000")), Some("not a CA certificate")),
            (0, Some(raw("2.5.29.19", false, "30030101ff")), Some("not a CA certificate")),
            (0, Some(raw("2.5.29.19", true, "0500")), Some("an extension cannot be decoded")),
            (1, Some(raw("2.5.29.15", true, "03020106")), None),
            (1, None, Some("lacks keyCertSign or cRLSign")),
            (1, Some(raw("2.5.29.15", true, "03020204")), Some("lacks keyCertSign or cRLSign")),
            (1, Some(raw("2.5.29.15", true, "03020102")), Some("lacks keyCertSign or cRLSign")),
            (2, None, Some("no subjectKeyIdentifier")),
        ] {
            let mut extensions = good.clone();
            extensions.splice(place..=place, other.clone());
            let read = ChainCertificate::from_pem(&Foreign::root("Root", extensions).pem).err();
            match (read, expected) {
                (Some(fault), Some(expected)) if fault.contains(expected) => {}
                (None, None) => {}
                (read, _) => panic!("{read:?} for {other:?}, not {expected:?}"),
            }
        }
    }
}
