//! Certification requests in files.

use std::{fs, path::Path, str};

use anyhow::{Context as _, anyhow};
use der::pem::{self, LineEnding};
use pki::csr::VerifiedCsr;

/// The request by the holder of a key, in PEM or DER, and what the file holds.
///
/// # Errors
/// When it cannot be read, or is no request that can be granted.
pub(crate) fn read(path: &Path) -> anyhow::Result<(VerifiedCsr, Vec<u8>)> {
    let name = path.display();
    let bytes = fs::read(path).with_context(|| format!("cannot read {name}"))?;
    let csr = match str::from_utf8(&bytes) {
        Ok(text) => VerifiedCsr::from_pem(text),
        // The length of what is signed makes a request in DER no UTF-8.
        Err(_) => {
            let text = pem::encode_string("CERTIFICATE REQUEST", LineEnding::LF, &bytes);
            VerifiedCsr::from_pem(&text.map_err(|error| anyhow!("{name}: {error}"))?)
        }
    };
    Ok((csr.map_err(|fault| anyhow!("{name}: {fault}"))?, bytes))
}
