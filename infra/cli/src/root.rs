//! The root CA: a key in an encrypted file, on a machine that should have no network.

use std::{fs, path::Path};

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
use p256::ecdsa::{Signature, SigningKey, signature::hazmat::PrehashSigner};
use p256::elliptic_curve::Generate;
use pkcs8::{DecodePrivateKey, EncodePrivateKey, EncodePublicKey};
use spki::SubjectPublicKeyInfoOwned;

use crate::files::{ensure_private_directory, write_new, write_private};

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
        let rng = &mut UnwrapErr(SysRng);
        let subject = name::distinguished(common_name, organization)
            .context("the common name and the organization must have 1 to 64 characters each")?;
        let key = SigningKey::generate_from_rng(rng);
        let public_key = key.verifying_key().to_public_key_der()?;
        let public_key = SubjectPublicKeyInfoOwned::from_der(public_key.as_bytes())?;
        let key_identifier = profile::key_identifier(public_key.owned_to_ref())?;
        let profile = Profile::Root { subject: subject.clone() };
        let itself = IssuedBy::itself(&subject, key.verifying_key(), &key_identifier);
        let tbs = profile::build(&profile, itself, public_key, now, Timestamp::NEVER, rng)?;
        let certificate = sign(&key, lint(tbs)?)?.verify(key.verifying_key())?.pem()?;

        ensure_private_directory(directory)?;
        // A key written beside another root's certificate would look like that root's.
        let place = directory.join(CERTIFICATE_FILE);
        ensure!(!place.exists(), "{} exists already and is never overwritten", place.display());
        // The key first: a certificate without its key would look like a root that was lost.
        let encrypted = key.to_pkcs8_encrypted_pem(passphrase, LineEnding::LF)?;
        write_private(&directory.join(KEY_FILE), &encrypted)?;
        write_new(&place, &certificate)?;
        let certificate = CaCertificate::from_pem(&certificate).map_err(anyhow::Error::msg)?;
        Ok(Self { key, certificate })
    }

    /// Opens the root in `directory`.
    ///
    /// # Errors
    /// When there is none, the passphrase is wrong, or key and certificate do not belong together.
    pub fn open(directory: &Path, passphrase: &str) -> anyhow::Result<Self> {
        let read = |file: &str| {
            let path = directory.join(file);
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
        };
        let certificate = CaCertificate::from_pem(&read(CERTIFICATE_FILE)?)
            .map_err(|fault| anyhow::anyhow!("{CERTIFICATE_FILE}: {fault}"))?;
        let key = SigningKey::from_pkcs8_encrypted_pem(&read(KEY_FILE)?, passphrase)
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
        let &Subordinate { common_name, organization, usage, not_after, root_crl_url } =
            subordinate;
        let subject = name::distinguished(common_name, organization)
            .context("the common name and the organization must have 1 to 64 characters each")?;
        ensure!(
            subject != *self.certificate.subject(),
            "a subordinate needs another name than its root's"
        );
        let profile = Profile::Subordinate { subject, usage };
        let tbs = profile::build(
            &profile,
            IssuedBy::ca(&self.certificate, root_crl_url),
            request.public_key().clone(),
            now,
            not_after,
            &mut UnwrapErr(SysRng),
        )?;
        Ok(sign(&self.key, lint(tbs)?)?.verify(self.certificate.key())?.pem()?)
    }
}

fn sign(key: &SigningKey, tbs: LintedTbs) -> anyhow::Result<Unverified> {
    let signature: Signature = key.sign_prehash(tbs.digest())?;
    Ok(tbs.with_signature(&signature.to_der())?)
}
