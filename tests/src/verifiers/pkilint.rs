//! pkilint, DigiCert's linter for RFC 5280.

use std::ffi::OsStr;

use anyhow::ensure;

use crate::process::tool::{file, run};

/// Lints one PEM certificate.
///
/// # Errors
/// If pkilint is missing, or has findings of severity WARNING or above; the message lists them.
pub async fn lint(certificate: &str) -> anyhow::Result<()> {
    let certificate = file(certificate)?;
    let options = ["lint", "-s", "WARNING"].map(OsStr::new);
    let args = options.into_iter().chain([certificate.path().as_os_str()]);
    let finished = run("lint_pkix_cert", args).await?;
    // The status is the number of findings.
    ensure!(finished.status.success(), "pkilint ({}):\n{}", finished.status, finished.output);
    Ok(())
}

/// Lints one PEM CRL.
///
/// # Errors
/// As [`lint`].
pub async fn lint_crl(crl: &str) -> anyhow::Result<()> {
    let crl = file(crl)?;
    let options = ["lint", "-t", "CRL", "-p", "PKIX", "-s", "WARNING"].map(OsStr::new);
    let args = options.into_iter().chain([crl.path().as_os_str()]);
    let finished = run("lint_crl", args).await?;
    ensure!(finished.status.success(), "pkilint ({}):\n{}", finished.status, finished.output);
    Ok(())
}
