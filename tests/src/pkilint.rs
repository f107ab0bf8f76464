//! DigiCert's linter for RFC 5280: pkilint.

use std::ffi::OsStr;

use anyhow::ensure;

use crate::tool::{file, run};

/// Lints one PEM certificate.
///
/// # Errors
/// pkilint is missing, or has findings from the severity of a warning on; the message lists them.
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
pub async fn lint_crl(list: &str) -> anyhow::Result<()> {
    let list = file(list)?;
    let options = ["lint", "-t", "CRL", "-p", "PKIX", "-s", "WARNING"].map(OsStr::new);
    let args = options.into_iter().chain([list.path().as_os_str()]);
    let finished = run("lint_crl", args).await?;
    ensure!(finished.status.success(), "pkilint ({}):\n{}", finished.status, finished.output);
    Ok(())
}
