//! OpenSSL's opinion of a certificate.

use std::ffi::OsStr;
use std::path::Path;

use anyhow::{bail, ensure};

use crate::tool::{file, run};

/// What a leaf is to be used for.
#[derive(Clone, Copy, Debug)]
pub enum Purpose {
    /// TLS client authentication.
    Client,
    /// TLS server authentication.
    Server,
}

/// What OpenSSL thinks of a chain.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It verifies.
    Accepted,
    /// It does not, for the reason that OpenSSL gives.
    Rejected(String),
}

/// Verifies a chain of PEM certificates strictly, trusting nothing but `root`.
///
/// # Errors
/// OpenSSL is missing, or came to no verdict.
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
    // The exit status alone does not tell a bad chain from a file that is no certificate.
    match finished.output.lines().find(|line| line.contains(" depth lookup: ")) {
        Some(reason) => Ok(Verdict::Rejected(reason.to_owned())),
        None => bail!("openssl verify: {}", finished.output),
    }
}

/// A PEM certificate as `openssl x509 -text` prints it.
///
/// # Errors
/// OpenSSL is missing, or cannot read the certificate.
pub async fn text(certificate: &str) -> anyhow::Result<String> {
    let certificate = file(certificate)?;
    let options = ["x509", "-noout", "-text", "-in"].map(OsStr::new);
    let args = options.into_iter().chain([certificate.path().as_os_str()]);
    let finished = run("openssl", args).await?;
    ensure!(finished.status.success(), "openssl x509: {}", finished.output);
    Ok(finished.output)
}

/// The public half of an encrypted key, in PEM, if the passphrase in a file opens it.
///
/// # Errors
/// OpenSSL is missing.
pub async fn public_key(key: &Path, passphrase: &Path) -> anyhow::Result<Option<String>> {
    let passphrase = format!("file:{}", passphrase.display());
    let args = ["pkey", "-pubout", "-passin", &passphrase, "-in"].map(OsStr::new);
    let opened = run("openssl", args.into_iter().chain([key.as_os_str()])).await?;
    Ok(opened.status.success().then_some(opened.output))
}

/// Makes a private key in `file`: what `openssl genpkey` takes after its first words.
///
/// # Errors
/// OpenSSL is missing, or makes no such key.
pub async fn new_key(file: &Path, kind: &str) -> anyhow::Result<()> {
    let args = ["genpkey"].into_iter().chain(kind.split_whitespace()).map(OsStr::new);
    let made = run("openssl", args.chain([OsStr::new("-out"), file.as_os_str()])).await?;
    ensure!(made.status.success(), "openssl genpkey {kind}: {}", made.output);
    Ok(())
}

/// A certification request for a private key, in PEM: with what `openssl req` takes besides.
///
/// # Errors
/// OpenSSL is missing, or makes no such request.
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

/// The public half of a private key, in PEM.
///
/// # Errors
/// OpenSSL is missing, or cannot read the key.
pub async fn public_half(key: &Path) -> anyhow::Result<String> {
    let args = ["pkey", "-pubout", "-in"].map(OsStr::new).into_iter().chain([key.as_os_str()]);
    let finished = run("openssl", args).await?;
    ensure!(finished.status.success(), "openssl pkey: {}", finished.output);
    Ok(finished.output)
}

/// The public key in a PEM certificate, in PEM.
///
/// # Errors
/// OpenSSL is missing, or cannot read the certificate.
pub async fn certified_key(certificate: &str) -> anyhow::Result<String> {
    let certificate = file(certificate)?;
    let args = ["x509", "-noout", "-pubkey", "-in"].map(OsStr::new);
    let finished = run("openssl", args.into_iter().chain([certificate.path().as_os_str()])).await?;
    ensure!(finished.status.success(), "openssl x509: {}", finished.output);
    Ok(finished.output)
}

/// A PEM certificate whose signature has its last bit the other way: it is read all the same.
///
/// # Errors
/// It is no PEM.
pub fn with_another_signature(certificate: &str) -> anyhow::Result<String> {
    use der::pem::{LineEnding, decode_vec, encode_string};
    let (label, mut der) = decode_vec(certificate.as_bytes()).map_err(anyhow::Error::msg)?;
    if let Some(last) = der.last_mut() {
        *last ^= 1;
    }
    encode_string(label, LineEnding::LF, &der).map_err(anyhow::Error::msg)
}
