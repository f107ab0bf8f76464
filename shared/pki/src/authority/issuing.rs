//! Subordinate CAs that can issue.

use super::{
    ca_certificate::CaCertificate, chain, chain_certificate::ChainCertificate,
    fault::AuthorityFault, name::AuthorityName, record::AuthorityRecord,
};
use crate::{
    clock::Timestamp,
    error::{Error, Result},
    profile::{IssuedBy, Usage},
};

/// A subordinate CA whose chain was verified up to the root.
#[derive(Clone, Debug)]
pub struct Authority {
    record: AuthorityRecord,
    pub(super) certificate: CaCertificate,
    /// Ordered nearest first; the last is the root.
    pub(super) above: Vec<ChainCertificate>,
    chain_pem: String,
    not_before: Timestamp,
    not_after: Timestamp,
}

impl Authority {
    /// Returns the record of the CA.
    #[must_use]
    pub fn record(&self) -> &AuthorityRecord {
        &self.record
    }

    /// Returns the name, such as `device`.
    #[must_use]
    pub fn name(&self) -> &AuthorityName {
        &self.record.name
    }

    /// Returns the ARN of the key in KMS.
    #[must_use]
    pub fn key_arn(&self) -> &str {
        &self.record.key_arn
    }

    /// Returns the certificate.
    #[must_use]
    pub fn certificate(&self) -> &CaCertificate {
        &self.certificate
    }

    /// Returns the CAs above this one, nearest first. The last is the root.
    #[must_use]
    pub fn above(&self) -> &[ChainCertificate] {
        &self.above
    }

    /// Returns the root certificate in PEM.
    #[must_use]
    pub fn root_pem(&self) -> &str {
        self.above.last().map_or("", ChainCertificate::pem)
    }

    /// Returns the certificate and the intermediates, nearest first, in PEM: the chain that follows a leaf.
    /// The root is left out, because a verifier that trusts the root has it.
    #[must_use]
    pub fn chain_pem(&self) -> &str {
        &self.chain_pem
    }

    /// Returns the earliest `notAfter` of the CA and the CAs above it.
    #[must_use]
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// Returns the fields that this CA contributes to the certificates that it issues.
    #[must_use]
    pub fn issued_by(&self) -> IssuedBy<'_> {
        self.certificate.as_issuer(self.record.crl_url.as_deref())
    }

    /// Creates an error about this CA.
    #[must_use]
    pub fn fault(&self, fault: AuthorityFault) -> Error {
        Error::Authority { name: self.record.name.to_string(), fault }
    }

    /// Checks that the CA can issue a certificate of `usage` at `now` that is valid until
    /// `leaf_not_after`.
    ///
    /// # Errors
    /// If the CA is for another usage, is not valid at `now`, or expires before `leaf_not_after`.
    pub fn check(&self, usage: Usage, now: Timestamp, leaf_not_after: Timestamp) -> Result<()> {
        let (ca_not_before, ca_not_after) = (self.not_before, self.not_after);
        if now < ca_not_before {
            return Err(self.fault(AuthorityFault::NotYetValid { ca_not_before }));
        }
        if now > ca_not_after {
            return Err(self.fault(AuthorityFault::Expired { ca_not_after }));
        }
        if leaf_not_after > ca_not_after {
            return Err(self.fault(AuthorityFault::TooShort { ca_not_after, leaf_not_after }));
        }
        if self.certificate.is_for(usage) {
            Ok(())
        } else {
            let fault = format!("its extKeyUsage is not that of a {usage} CA");
            Err(self.fault(AuthorityFault::Unusable(fault)))
        }
    }
}

impl TryFrom<AuthorityRecord> for Authority {
    type Error = Error;

    fn try_from(record: AuthorityRecord) -> Result<Self> {
        let unusable = |fault| Error::Authority {
            name: record.name.to_string(),
            fault: AuthorityFault::Unusable(fault),
        };
        let certificate = CaCertificate::from_pem(&record.certificate_pem).map_err(unusable)?;
        let mut above = Vec::new();
        for read in chain::read_bundle(record.intermediates_pem.as_deref().unwrap_or_default()) {
            above.push(read.map_err(|fault| unusable(format!("an intermediate CA: {fault}")))?);
        }
        let chain_pem = above.iter().fold(certificate.pem().to_owned(), |all, it| all + it.pem());
        let root = ChainCertificate::from_pem(&record.root_pem);
        above.push(root.map_err(|fault| unusable(format!("the root: {fault}")))?);
        chain::verify(&certificate, &above).map_err(unusable)?;

        let whole = || above.iter().chain([&*certificate]);
        let not_before = whole().map(ChainCertificate::not_before).max();
        let not_after = whole().map(ChainCertificate::not_after).min();
        Ok(Self {
            not_before: not_before.unwrap_or(Timestamp::NEVER),
            not_after: not_after.unwrap_or(Timestamp::from_unix(0)),
            certificate,
            above,
            chain_pem,
            record,
        })
    }
}

#[cfg(test)]
mod tests {
    use getrandom::{SysRng, rand_core::UnwrapErr};
    use p256::{
        ecdsa::{Signature, SigningKey, signature::hazmat::PrehashSigner},
        elliptic_curve::Generate,
    };
    use spki::SubjectPublicKeyInfoOwned;

    use super::{
        super::foreign::{Foreign, NOW, ca, purposes},
        *,
    };
    use crate::{
        lint::lint,
        names::distinguished,
        profile::{Profile, build},
    };

    fn root() -> String {
        let rng = &mut UnwrapErr(SysRng);
        let key = SigningKey::generate_from_rng(rng);
        let subject = distinguished("Root", None).unwrap();
        let spki = SubjectPublicKeyInfoOwned::from_key(key.verifying_key()).unwrap();
        let profile = Profile::Root { subject: subject.clone() };
        let public = (*key.verifying_key()).into();
        let itself = IssuedBy::self_signed(&subject, &public, b"key");
        let now = Timestamp::from_unix(1_800_000_000);
        let tbs = lint(build(&profile, itself, spki, now, Timestamp::NEVER, rng).unwrap()).unwrap();
        let signature: Signature = key.sign_prehash(tbs.digest()).unwrap();
        let signed = tbs.with_signature(&signature.to_der().into()).unwrap();
        signed.verify(&public).unwrap().pem().unwrap()
    }

    #[test]
    fn text_around_a_certificate_is_dropped() {
        let pem = root();
        let certificate = CaCertificate::from_pem(&pem).unwrap();
        assert_eq!(certificate.pem(), pem);
        assert!(certificate.is_issued_by(&certificate));
        for other in [
            pem.replace('\n', "\r\n"),
            pem.trim_end().to_owned(),
            format!("\u{feff}{pem}"),
            format!("subject=O = Café, CN = Root\n{pem}"),
        ] {
            assert_eq!(CaCertificate::from_pem(&other).unwrap().pem(), pem);
        }
        let key = "-----BEGIN PRIVATE KEY-----\n";
        for (other, fault) in [
            (String::new(), "no BEGIN line"),
            (format!("{pem}{pem}"), "more than one PEM block"),
            (format!("{pem}{key}"), "more than one PEM block"),
            (pem.replace("CERTIFICATE", "X509 CRL"), "the PEM label is X509 CRL"),
        ] {
            let refused = CaCertificate::from_pem(&other).unwrap_err();
            assert!(refused.contains(fault), "{refused}");
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
            intermediates_pem: None,
            root_pem: two,
            crl_url: None,
            created_at: Timestamp::from_unix(0),
        };
        let error = Authority::try_from(record).unwrap_err().to_string();
        assert!(error.contains("not issued by its root"), "{error}");
    }
    #[test]
    fn issues_while_its_whole_chain_is_valid() {
        let root = Foreign::root("Root", ca(None, b"root"));
        let middle =
            root.issue_for("Middle", [NOW.minus(500), NOW.plus(9_000)], ca(None, b"middle"));
        let extensions = [ca(Some(0), b"sub"), vec![purposes(Usage::Device)]].concat();
        let sub = middle.issue_for("Sub", [NOW.minus(700), NOW.plus(9_500)], extensions);
        let record = AuthorityRecord {
            intermediates_pem: Some(middle.pem.clone()),
            crl_url: Some("http://crl.example/device.crl".into()),
            ..sub.record(&root)
        };
        let authority = Authority::try_from(record.clone()).unwrap();
        assert_eq!(*authority.record(), record);
        assert_eq!(authority.name().to_string(), "device");
        assert_eq!(authority.key_arn(), "arn");
        assert_eq!(authority.chain_pem(), format!("{}{}", sub.pem, middle.pem));
        assert_eq!(authority.root_pem(), root.pem);
        assert_eq!(authority.above().len(), 2);
        assert_eq!(authority.not_after(), NOW.plus(9_000));
        assert_eq!(authority.issued_by().crl_url, record.crl_url.as_deref());

        let (start, end) = (NOW.minus(500), NOW.plus(9_000));
        let device = Usage::Device;
        for (usage, now, leaf_not_after, fault) in [
            (device, start, end, None),
            (device, end, end, None),
            (
                device,
                start.minus(1),
                end,
                Some(AuthorityFault::NotYetValid { ca_not_before: start }),
            ),
            (device, end.plus(1), end, Some(AuthorityFault::Expired { ca_not_after: end })),
            (
                device,
                NOW,
                end.plus(1),
                Some(AuthorityFault::TooShort { ca_not_after: end, leaf_not_after: end.plus(1) }),
            ),
            (
                Usage::Server,
                NOW,
                end,
                Some(AuthorityFault::Unusable("its extKeyUsage is not that of a server CA".into())),
            ),
        ] {
            let checked = authority.check(usage, now, leaf_not_after);
            let text = fault.map(|fault| authority.fault(fault).to_string());
            assert_eq!(checked.err().map(|error| error.to_string()), text);
        }
    }

    #[test]
    fn a_damaged_certificate_of_the_chain_is_named() {
        let root = Foreign::root("Root", ca(None, b"root"));
        let record = root.issue("Sub", ca(Some(0), b"sub")).record(&root);
        for (record, expected) in [
            (
                AuthorityRecord { certificate_pem: "x".into(), ..record.clone() },
                "device: unusable: not",
            ),
            (AuthorityRecord { root_pem: "x".into(), ..record.clone() }, "the root: not PEM"),
            (
                AuthorityRecord { intermediates_pem: Some("-----BEGIN X".into()), ..record },
                "an intermediate CA: not PEM",
            ),
        ] {
            let error = Authority::try_from(record).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
