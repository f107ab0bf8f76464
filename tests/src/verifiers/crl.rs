//! Independent verdicts on a CRL: OpenSSL, pkilint, python-cryptography, Java, Go and rustls.

use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::{CertificateError, Error, RootCertStore};
use tempfile::NamedTempFile;

use crate::process::tool::{file, run};

const PYTHON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/verifiers/check_revocation.py");
const JAVA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/verifiers/CheckRevocation.java");
const GO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/verifiers/check_revocation.go");

/// A CRL and its chain, as PEM files.
pub struct CrlVerification {
    root: NamedTempFile,
    ca: NamedTempFile,
    crl: NamedTempFile,
}

impl CrlVerification {
    /// Writes the files.
    ///
    /// # Errors
    /// If the files cannot be written.
    pub fn new(root: &str, ca: &str, crl: &str) -> anyhow::Result<Self> {
        Ok(Self { root: file(root)?, ca: file(ca)?, crl: file(crl)? })
    }

    /// Lints the CRL and verifies its signature.
    ///
    /// # Errors
    /// If pkilint has findings, or OpenSSL rejects the signature.
    pub async fn lint(&self) -> anyhow::Result<()> {
        let options = ["lint", "-t", "CRL", "-p", "PKIX"].map(OsStr::new);
        let linted = run("lint_crl", options.into_iter().chain([self.crl.path().as_os_str()]));
        let linted = linted.await?;
        ensure!(linted.status.success(), "pkilint ({}):\n{}", linted.status, linted.output);
        let [ca, crl] = [&self.ca, &self.crl].map(|file| file.path().as_os_str());
        let [verify, ca_file, input, quiet] =
            ["-verify", "-CAfile", "-in", "-noout"].map(OsStr::new);
        let verified = run("openssl", [OsStr::new("crl"), verify, ca_file, ca, input, crl, quiet]);
        let verified = verified.await?.output;
        ensure!(verified == "verify OK", "openssl crl: {verified}");
        Ok(())
    }

    /// Checks that every verifier has this verdict on each leaf; OpenSSL and rustls report no
    /// reason. Reasons have the names of RFC 5280.
    ///
    /// # Errors
    /// If a verifier disagrees.
    pub async fn agree(&self, leaves: &[(&str, Option<&str>)]) -> anyhow::Result<()> {
        let mut files = Vec::new();
        for (leaf, _) in leaves {
            files.push(file(leaf)?);
        }
        let paths = || files.iter().map(|file| file.path().as_os_str());
        let [root, ca, crl] = [&self.root, &self.ca, &self.crl].map(|file| file.path().as_os_str());

        for (path, (_, word)) in paths().zip(leaves) {
            let options = [
                "verify",
                "-crl_check",
                "-x509_strict",
                "-no-CApath",
                "-no-CAstore",
                "-purpose",
                "sslclient",
                "-CAfile",
            ];
            let args = options.iter().map(OsStr::new).chain([root]);
            let args = args.chain([OsStr::new("-untrusted"), ca]);
            let args = args.chain([OsStr::new("-CRLfile"), crl, path]);
            let said = run("openssl", args).await?;
            match word {
                None => ensure!(said.status.success(), "openssl: {}", said.output),
                Some(_) => {
                    ensure!(
                        said.output.contains("certificate revoked"),
                        "openssl: {}",
                        said.output
                    );
                }
            }
            ensure!(
                self.is_good_to_rustls(path)? == word.is_none(),
                "rustls does not say {word:?}"
            );
        }

        let python = [OsStr::new(PYTHON), ca, crl].into_iter().chain(paths());
        let java = [OsStr::new(JAVA), root, ca, crl].into_iter().chain(paths());
        let go = [OsStr::new("run"), OsStr::new(GO), root, ca, crl].into_iter().chain(paths());
        for (name, said) in [
            ("python", run("python", python).await?),
            ("java", run("java", java).await?),
            ("go", run("go", go).await?),
        ] {
            ensure!(said.status.success(), "{name}: {}", said.output);
            let words: Vec<_> = said.output.lines().collect();
            ensure!(words.len() == leaves.len(), "{name}: {}", said.output);
            for (said, (_, word)) in words.into_iter().zip(leaves) {
                let expected = plain(word.unwrap_or("good"));
                ensure!(plain(said) == expected, "{name} says {said}, not {word:?}");
            }
        }
        Ok(())
    }

    /// Returns true if a rustls server with this CRL accepts a client with this leaf.
    fn is_good_to_rustls(&self, leaf: &OsStr) -> anyhow::Result<bool> {
        let read = |path: &Path| CertificateDer::from_pem_file(path);
        let mut roots = RootCertStore::empty();
        roots.add(read(self.root.path())?)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider)
            .with_crls([CertificateRevocationListDer::from_pem_file(self.crl.path())?])
            // The subordinate's own revocation is on the root's CRL, which this does not cover.
            .only_check_end_entity_revocation()
            .enforce_revocation_expiration()
            .build()?;
        let (leaf, ca) = (read(Path::new(leaf))?, read(self.ca.path())?);
        match verifier.verify_client_cert(&leaf, &[ca], UnixTime::now()) {
            Ok(_) => Ok(true),
            Err(Error::InvalidCertificate(CertificateError::Revoked)) => Ok(false),
            Err(error) => bail!("rustls: {error}"),
        }
    }
}

/// Normalizes names: `keyCompromise`, `key_compromise` and `KEY_COMPROMISE` are the same.
fn plain(word: &str) -> String {
    word.replace('_', "").to_lowercase()
}

/// Returns a DER CRL as `openssl crl -text` prints it.
///
/// # Errors
/// If OpenSSL cannot read it.
pub async fn text(der: &[u8]) -> anyhow::Result<String> {
    let mut crl = NamedTempFile::new()?;
    std::io::Write::write_all(&mut crl, der)?;
    let path = crl.path().to_str().context("UTF-8")?;
    let read = run("openssl", ["crl", "-inform", "DER", "-noout", "-text", "-in", path]).await?;
    ensure!(read.status.success(), "openssl crl: {}", read.output);
    Ok(read.output)
}
