//! The issuing CAs, as their records in the table describe them.

mod constraints;
mod name;
mod record;
mod succession;

pub use name::{AuthorityName, InvalidAuthorityName};
pub use record::{AuthorityRecord, AuthorityStatus};

use der::{Decode, Encode, asn1::ObjectIdentifier, pem};
use p256::ecdsa::VerifyingKey;
use spki::SubjectPublicKeyInfoRef;
use x509_cert::{
    Certificate,
    ext::pkix::{BasicConstraints, KeyUsage, SubjectKeyIdentifier},
    name::Name,
};

use constraints::Constraints;

use crate::{
    clock::Timestamp,
    error::{AuthorityFault, Error, Result},
    profile::{IssuedBy, Usage},
    signed::Signed,
};

/// A CA certificate that can sign certificates: read and checked once.
#[derive(Clone, Debug)]
pub struct CaCertificate {
    der: Vec<u8>,
    pem: String,
    subject: Name,
    issuer: Name,
    key: VerifyingKey,
    key_identifier: Vec<u8>,
    not_before: Timestamp,
    not_after: Timestamp,
    constraints: Constraints,
}

impl CaCertificate {
    /// Reads a CA's certificate.
    ///
    /// # Errors
    /// What keeps it from being one, in words for the operator.
    pub fn from_pem(text: &str) -> Result<Self, String> {
        let (label, der) = pem::decode_vec(text.as_bytes()).map_err(|e| format!("not PEM: {e}"))?;
        if label != "CERTIFICATE" {
            return Err(format!("PEM of a {label}, not of a CERTIFICATE"));
        }
        let read = Certificate::from_der(&der).map_err(|e| format!("not a certificate: {e}"))?;
        let tbs = read.tbs_certificate();
        let unreadable = |e: der::Error| format!("an extension is unreadable: {e}");

        let constraints = tbs.get_extension::<BasicConstraints>().map_err(unreadable)?;
        if !constraints.is_some_and(|(critical, it)| critical && it.ca) {
            return Err("not a CA's: basicConstraints say so".into());
        }
        let usage = tbs.get_extension::<KeyUsage>().map_err(unreadable)?;
        if !usage.is_some_and(|(_, it)| it.key_cert_sign() && it.crl_sign()) {
            return Err("its keyUsage lacks keyCertSign or cRLSign".into());
        }
        // RFC 5280, section 4.1.1.2.
        if read.signature_algorithm() != tbs.signature() {
            return Err("it names two signature algorithms".into());
        }
        let key_identifier = tbs.get_extension::<SubjectKeyIdentifier>().map_err(unreadable)?;
        let key_identifier = key_identifier.ok_or("it has no subjectKeyIdentifier")?.1;
        let key = tbs.subject_public_key_info().to_der().map_err(unreadable)?;
        let key = SubjectPublicKeyInfoRef::from_der(&key).map_err(unreadable)?;

        Ok(Self {
            // Anew, because what an operator's file has around it or for line ends would get into
            // every device's chain.
            pem: pem::encode_string("CERTIFICATE", pem::LineEnding::LF, &der)
                .map_err(|e| format!("not to be written as PEM: {e}"))?,
            subject: tbs.subject().clone(),
            issuer: tbs.issuer().clone(),
            key: VerifyingKey::try_from(key).map_err(|_| "its key is not on P-256")?,
            key_identifier: key_identifier.0.as_bytes().to_vec(),
            not_before: tbs.validity().not_before.into(),
            not_after: tbs.validity().not_after.into(),
            constraints: Constraints::read(tbs)?,
            der,
        })
    }

    /// Its DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Its PEM.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Its name.
    #[must_use]
    pub fn subject(&self) -> &Name {
        &self.subject
    }

    /// Its public key.
    #[must_use]
    pub fn key(&self) -> &VerifyingKey {
        &self.key
    }

    /// Its subject key identifier.
    #[must_use]
    pub fn key_identifier(&self) -> &[u8] {
        &self.key_identifier
    }

    /// Begin of its validity.
    #[must_use]
    pub fn not_before(&self) -> Timestamp {
        self.not_before
    }

    /// End of its validity.
    #[must_use]
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// Whether `issuer` issued it: name and signature.
    #[must_use]
    pub fn is_issued_by(&self, issuer: &Self) -> bool {
        self.issuer == issuer.subject
            && Signed::parse(&self.der).is_ok_and(|signed| signed.is_by(&issuer.key))
    }
}

/// A subordinate CA that can issue: its chain was verified up to the root.
#[derive(Clone, Debug)]
pub struct Authority {
    record: AuthorityRecord,
    certificate: CaCertificate,
    root: CaCertificate,
}

impl Authority {
    /// The record it was made of.
    #[must_use]
    pub fn record(&self) -> &AuthorityRecord {
        &self.record
    }

    /// Its name, such as `device`.
    #[must_use]
    pub fn name(&self) -> &AuthorityName {
        &self.record.name
    }

    /// ARN of its key in KMS.
    #[must_use]
    pub fn key_arn(&self) -> &str {
        &self.record.key_arn
    }

    /// Its certificate.
    #[must_use]
    pub fn certificate(&self) -> &CaCertificate {
        &self.certificate
    }

    /// The root above it.
    #[must_use]
    pub fn root(&self) -> &CaCertificate {
        &self.root
    }

    /// When it ends, or its root.
    #[must_use]
    pub fn not_after(&self) -> Timestamp {
        self.certificate.not_after.min(self.root.not_after)
    }

    /// What of it gets into the certificates it issues.
    #[must_use]
    pub fn issued_by(&self) -> IssuedBy<'_> {
        IssuedBy::ca(&self.certificate, self.record.crl_url.as_deref())
    }

    /// An error about this CA.
    #[must_use]
    pub fn fault(&self, fault: AuthorityFault) -> Error {
        Error::Authority { name: self.record.name.to_string(), fault }
    }

    /// Whether it may issue for `usage`, at `now`, until `leaf_not_after`.
    ///
    /// # Errors
    /// When it is for another usage, not valid now, or would expire before what it issues.
    pub fn check(&self, usage: Usage, now: Timestamp, leaf_not_after: Timestamp) -> Result<()> {
        let ca_not_before = self.certificate.not_before.max(self.root.not_before);
        let ca_not_after = self.not_after();
        if now < ca_not_before {
            return Err(self.fault(AuthorityFault::NotYetValid { ca_not_before }));
        }
        if now > ca_not_after {
            return Err(self.fault(AuthorityFault::Expired { ca_not_after }));
        }
        if leaf_not_after > ca_not_after {
            return Err(self.fault(AuthorityFault::TooShort { ca_not_after, leaf_not_after }));
        }
        match self.certificate.constraints.key_purposes() {
            Some(purposes) if is_same_set(purposes, usage.key_purposes()) => Ok(()),
            _ => Err(self.fault(AuthorityFault::Unusable("its extKeyUsage is another".into()))),
        }
    }
}

/// An imported CA may have its purposes in any order.
fn is_same_set(purposes: &[ObjectIdentifier], wanted: &[ObjectIdentifier]) -> bool {
    purposes.len() == wanted.len() && wanted.iter().all(|purpose| purposes.contains(purpose))
}

impl TryFrom<AuthorityRecord> for Authority {
    type Error = Error;

    fn try_from(record: AuthorityRecord) -> Result<Self> {
        let unusable = |fault| Error::Authority {
            name: record.name.to_string(),
            fault: AuthorityFault::Unusable(fault),
        };
        let certificate = CaCertificate::from_pem(&record.certificate_pem).map_err(unusable)?;
        let root = CaCertificate::from_pem(&record.root_pem)
            .map_err(|fault| unusable(format!("the root: {fault}")))?;
        if !root.is_issued_by(&root) {
            return Err(unusable("the root is not self-signed".into()));
        }
        if !certificate.is_issued_by(&root) {
            return Err(unusable("it was not issued by its root".into()));
        }
        if certificate.subject == root.subject {
            return Err(unusable("it has its root's name".into()));
        }
        let admitted = root.constraints.admit(&root.key_identifier, &certificate.constraints);
        admitted.map_err(|fault| unusable(fault.into()))?;
        Ok(Self { certificate, root, record })
    }
}

#[cfg(test)]
mod tests {
    use getrandom::{SysRng, rand_core::UnwrapErr};
    use p256::{
        ecdsa::{Signature, SigningKey, signature::hazmat::PrehashSigner},
        elliptic_curve::Generate,
        pkcs8::EncodePublicKey,
    };
    use spki::SubjectPublicKeyInfoOwned;

    use super::*;
    use crate::{
        lint::lint,
        name,
        profile::{Profile, build},
    };

    fn root() -> String {
        let rng = &mut UnwrapErr(SysRng);
        let key = SigningKey::generate_from_rng(rng);
        let subject = name::distinguished("Root", None).unwrap();
        let spki = key.verifying_key().to_public_key_der().unwrap();
        let spki = SubjectPublicKeyInfoOwned::from_der(spki.as_bytes()).unwrap();
        let profile = Profile::Root { subject: subject.clone() };
        let itself = IssuedBy::itself(&subject, key.verifying_key(), b"key");
        let now = Timestamp::from_unix(1_800_000_000);
        let tbs = lint(build(&profile, itself, spki, now, Timestamp::NEVER, rng).unwrap()).unwrap();
        let signature: Signature = key.sign_prehash(tbs.digest()).unwrap();
        let signed = tbs.with_signature(&signature.to_der()).unwrap();
        signed.verify(key.verifying_key()).unwrap().pem().unwrap()
    }

    #[test]
    fn what_a_file_has_around_a_certificate_gets_no_further() {
        let pem = root();
        let certificate = CaCertificate::from_pem(&pem).unwrap();
        assert_eq!(certificate.pem(), pem);
        assert!(certificate.is_issued_by(&certificate));
        for other in [pem.replace('\n', "\r\n"), pem.trim_end().to_owned()] {
            assert_eq!(CaCertificate::from_pem(&other).unwrap().pem(), pem);
        }
    }

    #[test]
    fn a_root_of_the_same_name_is_another() {
        let (one, two) = (root(), root());
        let read = |pem| CaCertificate::from_pem(pem).unwrap();
        assert!(!read(&one).is_issued_by(&read(&two)));
        let record = AuthorityRecord {
            name: AuthorityName::first(Usage::Device),
            key_arn: "arn".into(),
            certificate_pem: one,
            root_pem: two,
            crl_url: None,
            created_at: Timestamp::from_unix(0),
        };
        let error = Authority::try_from(record).unwrap_err().to_string();
        assert!(error.contains("not issued by its root"), "{error}");
    }
}
