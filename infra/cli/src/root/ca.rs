//! A root CA and the certificates that it signs.

use std::path::Path;

use anyhow::{Context, ensure};
use der::referenced::OwnedToRef;
use getrandom::{SysRng, rand_core::UnwrapErr};
use pki::{
    authority::CaCertificate,
    clock::Timestamp,
    crl::{LintedCrl, VerifiedCrl},
    csr::VerifiedCsr,
    lint::{LintedTbs, lint},
    names,
    profile::{self, IssuedBy, Profile, Usage},
    signing::CaPublicKey,
};
use spki::SubjectPublicKeyInfoOwned;
use x509_cert::name::Name;

use super::key::RootKey;
use crate::files::{ensure_private_directory, read, write_new};

/// Name of the certificate file in a root's directory.
pub const CERTIFICATE_FILE: &str = "root.pem";

/// A root with its unlocked key. Implements neither `Debug` nor `Clone`.
pub struct Root {
    key: RootKey,
    certificate: CaCertificate,
}

/// The requested properties of a new root.
pub struct NewRoot<'a> {
    /// Common name.
    pub common_name: &'a str,
    /// Organization, if any.
    pub organization: Option<&'a str>,
    /// End of validity; [`Timestamp::NEVER`] for a root that is replaced rather than expires.
    pub not_after: Timestamp,
}

/// The requested properties of a subordinate CA, except its key.
pub struct Subordinate<'a> {
    /// Common name.
    pub common_name: &'a str,
    /// Organization, if any.
    pub organization: Option<&'a str>,
    /// Kind of certificates that the CA issues.
    pub usage: Usage,
    /// End of validity.
    pub not_after: Timestamp,
    /// URL of the root's CRL, if there is one.
    pub root_crl_url: Option<&'a str>,
}

impl<'a> NewRoot<'a> {
    /// Returns a root that has no organization and does not expire.
    #[must_use]
    pub fn lasting(common_name: &'a str) -> Self {
        Self { common_name, organization: None, not_after: Timestamp::NEVER }
    }

    /// Builds and lints the self-signed certificate of `key`.
    ///
    /// # Errors
    /// If a name is too long or empty, or the certificate would expire before it is valid.
    pub fn draft(&self, key: &CaPublicKey, now: Timestamp) -> anyhow::Result<LintedTbs> {
        let subject = distinguished(self.common_name, self.organization)?;
        let public_key = key.spki()?;
        let key_identifier = profile::key_identifier(public_key.owned_to_ref())?;
        let profile = Profile::Root { subject: subject.clone() };
        let itself = IssuedBy::self_signed(&subject, key, &key_identifier);
        let rng = &mut UnwrapErr(SysRng);
        Ok(lint(profile::build(&profile, itself, public_key, now, self.not_after, rng)?)?)
    }
}

impl Subordinate<'_> {
    /// Builds and lints the certificate that the root would sign for `key`.
    ///
    /// # Errors
    /// If a name is too long or empty, or the subordinate would outlive the root.
    pub fn draft(
        &self,
        root: IssuedBy<'_>,
        key: SubjectPublicKeyInfoOwned,
        now: Timestamp,
    ) -> anyhow::Result<LintedTbs> {
        let &Self { common_name, organization, usage, not_after, root_crl_url } = self;
        let subject = distinguished(common_name, organization)?;
        ensure!(subject != *root.subject(), "a subordinate must not have the name of its root");
        ensure!(
            not_after <= root.not_after(),
            "the subordinate (valid until {not_after}) would outlive its root (valid until {})",
            root.not_after()
        );
        let profile = Profile::Subordinate { subject, usage };
        let rng = &mut UnwrapErr(SysRng);
        let issued_by = root.with_crl(root_crl_url);
        Ok(lint(profile::build(&profile, issued_by, key, now, not_after, rng)?)?)
    }
}

impl Root {
    /// Signs the certificate of a new root and writes it to `directory`.
    ///
    /// # Errors
    /// If the directory has a root's certificate, or a name is too long or empty.
    pub fn create(
        directory: &Path,
        key: RootKey,
        new: &NewRoot<'_>,
        now: Timestamp,
    ) -> anyhow::Result<Self> {
        let tbs = new.draft(&key.public(), now)?;
        let certificate = key.sign(tbs)?.verify(&key.public())?.pem()?;
        ensure_private_directory(directory)?;
        write_new(&directory.join(CERTIFICATE_FILE), &certificate)?;
        let certificate = CaCertificate::from_pem(&certificate).map_err(anyhow::Error::msg)?;
        Ok(Self { key, certificate })
    }

    /// Reads the certificate of the root in `directory`.
    ///
    /// # Errors
    /// If there is none, or it is not a valid CA certificate.
    pub(crate) fn read_certificate(directory: &Path) -> anyhow::Result<CaCertificate> {
        let path = directory.join(CERTIFICATE_FILE);
        CaCertificate::from_pem(&read(&path)?)
            .map_err(|fault| anyhow::anyhow!("{}: {fault}", path.display()))
    }

    /// Opens the root in `directory` with its unlocked key.
    ///
    /// # Errors
    /// If the directory has no root's certificate, or the certificate has another key.
    pub fn open(directory: &Path, key: RootKey) -> anyhow::Result<Self> {
        let certificate = Self::read_certificate(directory)?;
        ensure!(
            key.public() == *certificate.key(),
            "the root's key does not match the certificate {}",
            directory.join(CERTIFICATE_FILE).display()
        );
        Ok(Self { key, certificate })
    }

    /// Returns the root's certificate.
    #[must_use]
    pub fn certificate(&self) -> &CaCertificate {
        &self.certificate
    }

    /// Certifies the key of a CSR as a subordinate CA, and returns the certificate in PEM. Takes only the
    /// key from the CSR.
    ///
    /// # Errors
    /// If a name is too long or empty, or the subordinate would outlive the root.
    pub fn certify(
        &self,
        csr: &VerifiedCsr,
        subordinate: &Subordinate<'_>,
        now: Timestamp,
    ) -> anyhow::Result<String> {
        let issued_by = self.certificate.as_issuer(None);
        let tbs = subordinate.draft(issued_by, csr.public_key().clone(), now)?;
        Ok(self.key.sign(tbs)?.verify(self.certificate.key())?.pem()?)
    }

    /// Signs the root's CRL.
    ///
    /// # Errors
    /// If a token fails.
    pub(crate) fn sign_crl(&self, crl: LintedCrl) -> anyhow::Result<VerifiedCrl> {
        let signature = self.key.sign_digest(crl.digest())?;
        Ok(crl.with_signature(&signature)?.verify(&self.certificate)?)
    }
}

pub(crate) fn distinguished(common_name: &str, organization: Option<&str>) -> anyhow::Result<Name> {
    names::distinguished(common_name, organization).context(
        "the common name and the organization must have 1 to 64 characters each, without control \
         characters and invisible ones",
    )
}
