//! A subordinate CA that can issue.

use super::{
    ca_certificate::CaCertificate, chain, chain_certificate::ChainCertificate,
    fault::AuthorityFault, name::AuthorityName, record::AuthorityRecord,
};
use crate::{
    clock::Timestamp,
    error::{Error, Result},
    profile::{IssuedBy, Usage},
};

/// A subordinate CA that can issue: its chain was verified up to the root.
#[derive(Clone, Debug)]
pub struct Authority {
    record: AuthorityRecord,
    pub(super) certificate: CaCertificate,
    /// Nearest first; the last is the root.
    pub(super) above: Vec<ChainCertificate>,
    chain_pem: String,
    not_before: Timestamp,
    not_after: Timestamp,
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

    /// The CAs above it, nearest first; the last is the root.
    #[must_use]
    pub fn above(&self) -> &[ChainCertificate] {
        &self.above
    }

    /// Its root's certificate, in PEM.
    #[must_use]
    pub fn root_pem(&self) -> &str {
        self.above.last().map_or("", ChainCertificate::pem)
    }

    /// Its certificate and those between it and its root, nearest first, in PEM: what comes after a
    /// leaf. The root is not among them: who trusts it has it.
    #[must_use]
    pub fn chain_pem(&self) -> &str {
        &self.chain_pem
    }

    /// When it ends, or the first of those above it.
    #[must_use]
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// What of it gets into the certificates it issues.
    #[must_use]
    pub fn issued_by(&self) -> IssuedBy<'_> {
        self.certificate.as_issuer(self.record.crl_url.as_deref())
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
            Err(self.fault(AuthorityFault::Unusable("its extKeyUsage is another".into())))
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
            above.push(read.map_err(|fault| unusable(format!("a CA between: {fault}")))?);
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
        pkcs8::EncodePublicKey,
    };
    use spki::SubjectPublicKeyInfoOwned;

    use der::Decode;

    use super::*;
    use crate::{
        lint::lint,
        names::distinguished,
        profile::{Profile, build},
    };

    fn root() -> String {
        let rng = &mut UnwrapErr(SysRng);
        let key = SigningKey::generate_from_rng(rng);
        let subject = distinguished("Root", None).unwrap();
        let spki = key.verifying_key().to_public_key_der().unwrap();
        let spki = SubjectPublicKeyInfoOwned::from_der(spki.as_bytes()).unwrap();
        let profile = Profile::Root { subject: subject.clone() };
        let public = (*key.verifying_key()).into();
        let itself = IssuedBy::itself(&subject, &public, b"key");
        let now = Timestamp::from_unix(1_800_000_000);
        let tbs = lint(build(&profile, itself, spki, now, Timestamp::NEVER, rng).unwrap()).unwrap();
        let signature: Signature = key.sign_prehash(tbs.digest()).unwrap();
        let signed = tbs.with_signature(&signature.to_der().into()).unwrap();
        signed.verify(&public).unwrap().pem().unwrap()
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
            intermediates_pem: None,
            root_pem: two,
            crl_url: None,
            created_at: Timestamp::from_unix(0),
        };
        let error = Authority::try_from(record).unwrap_err().to_string();
        assert!(error.contains("not issued by its root"), "{error}");
    }
}
