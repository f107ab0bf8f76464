//! The root CA: a key in an encrypted file, on a machine that should have no network.

use std::path::Path;

use anyhow::{Context, ensure};
use birthcert::{
    authority::CaCertificate,
    certificate::Unverified,
    clock::Timestamp,
    csr::VerifiedCsr,
    lint::{LintedTbs, lint},
    name,
    profile::{self, IssuedBy, Profile, Usage},
};
use der::{Decode, pem::LineEnding, referenced::OwnedToRef};
use getrandom::{SysRng, rand_core::UnwrapErr};
use p256::AffinePoint;
use p256::ecdsa::{Signature, SigningKey, VerifyingKey, signature::hazmat::PrehashSigner};
use p256::elliptic_curve::Generate;
use pkcs8::{DecodePrivateKey, EncodePrivateKey, EncodePublicKey};
use spki::SubjectPublicKeyInfoOwned;
use x509_cert::name::Name;

use crate::files::{ensure_private_directory, expect_new, read, write_new, write_private};

/// The key's file in a root's directory: PKCS#8, encrypted (PBES2 with scrypt and AES-256-CBC).
pub const KEY_FILE: &str = "root-key.pem";
/// The certificate's file in a root's directory.
pub const CERTIFICATE_FILE: &str = "root.pem";

/// A root whose key is open. It has neither `Debug` nor `Clone`.
pub struct Root {
    key: SigningKey,
    certificate: CaCertificate,
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

impl Subordinate<'_> {
    /// The certificate for `key` as `root` would sign it, checked. Of a request only the key is
    /// taken.
    ///
    /// # Errors
    /// When a name is out of bounds or the subordinate would outlive the root.
    pub fn draft(
        &self,
        root: &CaCertificate,
        key: SubjectPublicKeyInfoOwned,
        now: Timestamp,
    ) -> anyhow::Result<LintedTbs> {
        let &Self { common_name, organization, usage, not_after, root_crl_url } = self;
        let subject = distinguished(common_name, organization)?;
        ensure!(subject != *root.subject(), "a subordinate needs another name than its root's");
        let profile = Profile::Subordinate { subject, usage };
        let issued_by = IssuedBy::ca(root, root_crl_url);
        let rng = &mut UnwrapErr(SysRng);
        Ok(lint(profile::build(&profile, issued_by, key, now, not_after, rng)?)?)
    }
}

impl Root {
    /// Makes a root in `directory`, which must not have one: a key, encrypted with `passphrase`, and
    /// a certificate that does not expire.
    ///
    /// # Errors
    /// When there is one already, or a name is out of bounds.
    pub fn create(
        directory: &Path,
        common_name: &str,
        organization: Option<&str>,
        passphrase: &str,
        now: Timestamp,
    ) -> anyhow::Result<Self> {
        let key = SigningKey::generate_from_rng(&mut UnwrapErr(SysRng));
        let tbs = draft(common_name, organization, key.verifying_key(), now)?;
        let certificate = sign(&key, tbs)?.verify(key.verifying_key())?.pem()?;

        Self::expect_none(directory)?;
        ensure_private_directory(directory)?;
        // The key first: a certificate without its key would look like a root that was lost.
        let encrypted = key.to_pkcs8_encrypted_pem(passphrase, LineEnding::LF)?;
        write_private(&directory.join(KEY_FILE), &encrypted)?;
        write_new(&directory.join(CERTIFICATE_FILE), &certificate)?;
        let certificate = CaCertificate::from_pem(&certificate).map_err(anyhow::Error::msg)?;
        Ok(Self { key, certificate })
    }

    /// Checks that there is no root in `directory`, nor a half of one.
    ///
    /// # Errors
    /// When there is.
    pub(crate) fn expect_none(directory: &Path) -> anyhow::Result<()> {
        // A key written beside another root's certificate would look like that root's.
        [CERTIFICATE_FILE, KEY_FILE].iter().try_for_each(|file| expect_new(&directory.join(file)))
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

    /// Opens the root in `directory`.
    ///
    /// # Errors
    /// When there is none, the passphrase is wrong, or key and certificate do not belong together.
    pub fn open(directory: &Path, passphrase: &str) -> anyhow::Result<Self> {
        let certificate = Self::read_certificate(directory)?;
        let key = read(&directory.join(KEY_FILE))?;
        let key = SigningKey::from_pkcs8_encrypted_pem(&key, passphrase)
            .map_err(|_| anyhow::anyhow!("the passphrase is wrong, or {KEY_FILE} is damaged"))?;
        ensure!(
            key.verifying_key() == certificate.key(),
            "{KEY_FILE} is not the key of {CERTIFICATE_FILE}"
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
        let tbs = subordinate.draft(&self.certificate, request.public_key().clone(), now)?;
        Ok(sign(&self.key, tbs)?.verify(self.certificate.key())?.pem()?)
    }
}

/// The certificate of a root with `key`, checked.
///
/// # Errors
/// When a name is out of bounds.
pub fn draft(
    common_name: &str,
    organization: Option<&str>,
    key: &VerifyingKey,
    now: Timestamp,
) -> anyhow::Result<LintedTbs> {
    let subject = distinguished(common_name, organization)?;
    let public_key = public_key_info(key)?;
    let key_identifier = profile::key_identifier(public_key.owned_to_ref())?;
    let profile = Profile::Root { subject: subject.clone() };
    let itself = IssuedBy::itself(&subject, key, &key_identifier);
    let rng = &mut UnwrapErr(SysRng);
    Ok(lint(profile::build(&profile, itself, public_key, now, Timestamp::NEVER, rng)?)?)
}

/// In place of a key that a dry run may not make: the generator of P-256, whose private key is one.
pub(crate) fn stand_in() -> anyhow::Result<VerifyingKey> {
    Ok(VerifyingKey::from_affine(AffinePoint::GENERATOR)?)
}

pub(crate) fn public_key_info(key: &VerifyingKey) -> anyhow::Result<SubjectPublicKeyInfoOwned> {
    Ok(SubjectPublicKeyInfoOwned::from_der(key.to_public_key_der()?.as_bytes())?)
}

pub(crate) fn distinguished(common_name: &str, organization: Option<&str>) -> anyhow::Result<Name> {
    name::distinguished(common_name, organization)
        .context("the common name and the organization must have 1 to 64 characters each")
}

fn sign(key: &SigningKey, tbs: LintedTbs) -> anyhow::Result<Unverified> {
    let signature: Signature = key.sign_prehash(tbs.digest())?;
    Ok(tbs.with_signature(&signature.to_der())?)
}
