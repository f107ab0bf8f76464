//! OpenSSL: verification of certificates, keys and CSRs.

use std::ffi::OsStr;
use std::path::Path;

use anyhow::{bail, ensure};

use crate::process::tool::{file, run};

/// The purpose of a leaf.
#[derive(Clone, Copy, Debug)]
pub enum Purpose {
    /// TLS client authentication.
    Client,
    /// TLS server authentication.
    Server,
}

/// OpenSSL's verdict on a chain.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The chain verifies.
    Accepted,
    /// The chain does not verify, for this reason.
    Rejected(String),
}

impl Verdict {
    /// Returns true if the chain verifies, but not for the purpose: `X509_V_ERR_INVALID_PURPOSE`.
    pub fn is_another_purpose(&self) -> bool {
        matches!(self, Self::Rejected(reason) if reason.contains("error 26 at "))
    }
}

/// Verifies a chain of PEM certificates strictly, trusting nothing but `root`.
///
/// # Errors
/// If OpenSSL is missing, or gives no verdict.
pub async fn verify(
    leaf: &str,
    subordinate: &str,
    root: &str,
    purpose: Purpose,
) -> anyhow::Result<Verdict> {
    let (leaf, subordinate, root) = (file(leaf)?, file(subordinate)?, file(root)?);
    let purpose = match purpose {
        Purpose::Client => "sslclient",
        Purpose::Server => "sslserver",
    };
    // Without the two `-no-…` options the machine's own trust store counts too.
    let options = ["verify", "-x509_strict", "-no-CApath", "-no-CAstore", "-purpose", purpose];
    let files = [
        OsStr::new("-CAfile"),
        root.path().as_os_str(),
        OsStr::new("-untrusted"),
        subordinate.path().as_os_str(),
        leaf.path().as_os_str(),
    ];
    let finished = run("openssl", options.map(OsStr::new).into_iter().chain(files)).await?;
    if finished.status.success() {
        return Ok(Verdict::Accepted);
    }
    // The exit status does not tell a bad chain from a file that is not a certificate.
    match finished.output.lines().find(|line| line.contains(" depth lookup: ")) {
        Some(reason) => Ok(Verdict::Rejected(reason.to_owned())),
        None => bail!("openssl verify: {}", finished.output),
    }
}

/// Returns a PEM certificate as `openssl x509 -text` prints it.
///
/// # Errors
/// If OpenSSL is missing, or cannot read the certificate.
pub async fn text(certificate: &str) -> anyhow::Result<String> {
    let certificate = file(certificate)?;
    let options = ["x509", "-noout", "-text", "-in"].map(OsStr::new);
    let args = options.into_iter().chain([certificate.path().as_os_str()]);
    let finished = run("openssl", args).await?;
    ensure!(finished.status.success(), "openssl x509: {}", finished.output);
    Ok(finished.output)
}

/// Returns the public half of an encrypted key, in PEM, if the passphrase in a file opens it.
///
/// # Errors
/// If OpenSSL is missing.
pub async fn public_key(key: &Path, passphrase: &Path) -> anyhow::Result<Option<String>> {
    let passphrase = format!("file:{}", passphrase.display());
    let args = ["pkey", "-pubout", "-passin", &passphrase, "-in"].map(OsStr::new);
    let opened = run("openssl", args.into_iter().chain([key.as_os_str()])).await?;
    Ok(opened.status.success().then_some(opened.output))
}

/// Generates a private key in `file`; `kind` has the arguments for `openssl genpkey`.
///
/// # Errors
/// If OpenSSL is missing, or cannot generate the key.
pub async fn new_key(file: &Path, kind: &str) -> anyhow::Result<()> {
    let args = ["genpkey"].into_iter().chain(kind.split_whitespace()).map(OsStr::new);
    let made = run("openssl", args.chain([OsStr::new("-out"), file.as_os_str()])).await?;
    ensure!(made.status.success(), "openssl genpkey {kind}: {}", made.output);
    Ok(())
}

/// Returns a CSR for a private key, in PEM; `options` are further arguments for `openssl req`.
///
/// # Errors
/// If OpenSSL is missing, or cannot create the CSR.
pub async fn request(key: &Path, options: &str) -> anyhow::Result<String> {
    let request = tempfile::NamedTempFile::new()?;
    let args = ["req", "-new", "-subj", "/CN=localhost/O=Somebody"].into_iter();
    let args = args.chain(options.split_whitespace()).map(OsStr::new);
    let files =
        [OsStr::new("-key"), key.as_os_str(), OsStr::new("-out"), request.path().as_os_str()];
    let made = run("openssl", args.chain(files)).await?;
    ensure!(made.status.success(), "openssl req {options}: {}", made.output);
    Ok(std::fs::read_to_string(request.path())?)
}

/// Returns the public half of a private key, in PEM.
///
/// # Errors
/// If OpenSSL is missing, or cannot read the key.
pub async fn public_half(key: &Path) -> anyhow::Result<String> {
    let args = ["pkey", "-pubout", "-in"].map(OsStr::new).into_iter().chain([key.as_os_str()]);
    let finished = run("openssl", args).await?;
    ensure!(finished.status.success(), "openssl pkey: {}", finished.output);
    Ok(finished.output)
}

/// Returns the public key of a PEM certificate, in PEM.
///
/// # Errors
/// If OpenSSL is missing, or cannot read the certificate.
pub async fn certified_key(certificate: &str) -> anyhow::Result<String> {
    let certificate = file(certificate)?;
    let args = ["x509", "-noout", "-pubkey", "-in"].map(OsStr::new);
    let finished = run("openssl", args.into_iter().chain([certificate.path().as_os_str()])).await?;
    ensure!(finished.status.success(), "openssl x509: {}", finished.output);
    Ok(finished.output)
}

/// Flips the last bit of a PEM certificate's signature; the certificate can still be parsed.
///
/// # Errors
/// If the certificate is not PEM.
pub fn with_another_signature(certificate: &str) -> anyhow::Result<String> {
    use der::pem::{LineEnding, decode_vec, encode_string};
    let (label, mut der) = decode_vec(certificate.as_bytes()).map_err(anyhow::Error::msg)?;
    if let Some(last) = der.last_mut() {
        *last ^= 1;
    }
    encode_string(label, LineEnding::LF, &der).map_err(anyhow::Error::msg)
}
