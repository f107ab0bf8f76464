//! The root CA, on a machine that should have no network: a certificate, and a key in an encrypted
//! file or in a PKCS#11 token.

mod key;
mod place;
mod token;

pub use key::{KEY_FILE, Lock, RootKey};
pub(crate) use place::{Key, KeyPlace, Secrets, TokenArguments};
pub(crate) use token::Token;
pub use token::TokenPlace;

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

use crate::files::{ensure_private_directory, read, write_new};

/// The certificate's file in a root's directory.
pub const CERTIFICATE_FILE: &str = "root.pem";

/// A root whose key is open. It has neither `Debug` nor `Clone`.
pub struct Root {
    key: RootKey,
    certificate: CaCertificate,
}

/// A root as it is asked for.
pub struct NewRoot<'a> {
    /// Its common name.
    pub common_name: &'a str,
    /// Its organization, if any.
    pub organization: Option<&'a str>,
    /// End of its validity; [`Timestamp::NEVER`] for a root that is replaced rather than expires.
    pub not_after: Timestamp,
}

/// A subordinate CA as the root is asked to certify it.
pub struct Subordinate<'a> {
    /// Its common name.
    pub common_name: &'a str,
    /// Its organization, if any.
    pub organization: Option<&'a str>,
    /// What it issues.
    pub usage: Usage,
    /// End of its validity.
    pub not_after: Timestamp,
    /// Where the root's CRL is found, if there is one.
    pub root_crl_url: Option<&'a str>,
}

impl<'a> NewRoot<'a> {
    /// One without an organization that does not expire.
    #[must_use]
    pub fn lasting(common_name: &'a str) -> Self {
        Self { common_name, organization: None, not_after: Timestamp::NEVER }
    }

    /// The certificate for `key`, by itself, checked.
    ///
    /// # Errors
    /// When a name is out of bounds, or it would expire before it is valid.
    pub fn draft(&self, key: &CaPublicKey, now: Timestamp) -> anyhow::Result<LintedTbs> {
        let subject = distinguished(self.common_name, self.organization)?;
        let public_key = key.spki()?;
        let key_identifier = profile::key_identifier(public_key.owned_to_ref())?;
        let profile = Profile::Root { subject: subject.clone() };
        let itself = IssuedBy::itself(&subject, key, &key_identifier);
        let rng = &mut UnwrapErr(SysRng);
        Ok(lint(profile::build(&profile, itself, public_key, now, self.not_after, rng)?)?)
    }
}

impl Subordinate<'_> {
    /// The certificate for `key` as the root would sign it, checked. Of a request only the key is
    /// taken.
    ///
    /// # Errors
    /// When a name is out of bounds or the subordinate would outlive the root.
    pub fn draft(
        &self,
        root: IssuedBy<'_>,
        key: SubjectPublicKeyInfoOwned,
        now: Timestamp,
    ) -> anyhow::Result<LintedTbs> {
        let &Self { common_name, organization, usage, not_after, root_crl_url } = self;
        let subject = distinguished(common_name, organization)?;
        ensure!(subject != *root.subject(), "a subordinate needs another name than its root's");
        ensure!(
            not_after <= root.not_after(),
            "the subordinate, valid until {not_after}, would outlive its root, valid until {}",
            root.not_after()
        );
        let profile = Profile::Subordinate { subject, usage };
        let rng = &mut UnwrapErr(SysRng);
        let issued_by = root.with_crl(root_crl_url);
        Ok(lint(profile::build(&profile, issued_by, key, now, not_after, rng)?)?)
    }
}

impl Root {
    /// Makes a root of `key`: its certificate, in `directory`, which must not have one.
    ///
    /// # Errors
    /// When there is one already, or a name is out of bounds.
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

    /// The certificate of the root in `directory`.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn read_certificate(directory: &Path) -> anyhow::Result<CaCertificate> {
        let path = directory.join(CERTIFICATE_FILE);
        CaCertificate::from_pem(&read(&path)?)
            .map_err(|fault| anyhow::anyhow!("{}: {fault}", path.display()))
    }

    /// The root in `directory` with its key.
    ///
    /// # Errors
    /// When there is none, or key and certificate do not belong together.
    pub fn open(directory: &Path, key: RootKey) -> anyhow::Result<Self> {
        let certificate = Self::read_certificate(directory)?;
        ensure!(
            key.public() == *certificate.key(),
            "the root's key is not the one in {}",
            directory.join(CERTIFICATE_FILE).display()
        );
        Ok(Self { key, certificate })
    }

    /// Its certificate.
    #[must_use]
    pub fn certificate(&self) -> &CaCertificate {
        &self.certificate
    }

    /// Certifies the key of `request` as a subordinate CA, in PEM. Of the request only the key is
    /// taken.
    ///
    /// # Errors
    /// When a name is out of bounds or the subordinate would outlive the root.
    pub fn certify(
        &self,
        request: &VerifiedCsr,
        subordinate: &Subordinate<'_>,
        now: Timestamp,
    ) -> anyhow::Result<String> {
        let issued_by = self.certificate.as_issuer(None);
        let tbs = subordinate.draft(issued_by, request.public_key().clone(), now)?;
        Ok(self.key.sign(tbs)?.verify(self.certificate.key())?.pem()?)
    }

    /// Signs a list of what it revoked.
    ///
    /// # Errors
    /// When a token does not sign.
    pub(crate) fn sign_list(&self, list: LintedCrl) -> anyhow::Result<VerifiedCrl> {
        let signature = self.key.sign_digest(list.digest())?;
        Ok(list.with_signature(&signature)?.verify(&self.certificate)?)
    }
}

pub(crate) fn distinguished(common_name: &str, organization: Option<&str>) -> anyhow::Result<Name> {
    names::distinguished(common_name, organization)
        .context("the common name and the organization must have 1 to 64 characters each")
}
