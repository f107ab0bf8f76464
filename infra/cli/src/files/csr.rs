//! Certificate signing requests in files.

use std::{fs, path::Path, str};

use anyhow::{Context as _, anyhow};
use der::pem::{self, LineEnding};
use pki::csr::VerifiedCsr;

/// Reads a CSR in PEM or DER; also returns the file's contents.
///
/// # Errors
/// If the file cannot be read, or is not a valid CSR with an accepted key.
pub(crate) fn read(path: &Path) -> anyhow::Result<(VerifiedCsr, Vec<u8>)> {
    let name = path.display();
    let bytes = fs::read(path).with_context(|| format!("cannot read {name}"))?;
    let csr = match str::from_utf8(&bytes) {
        Ok(text) => VerifiedCsr::from_pem(text),
        // DER of a CSR is never valid UTF-8: its length takes an octet above 0x7f.
        Err(_) => {
            let text = pem::encode_string("CERTIFICATE REQUEST", LineEnding::LF, &bytes);
            VerifiedCsr::from_pem(&text.map_err(|error| anyhow!("{name}: {error}"))?)
        }
    };
    Ok((csr.map_err(|fault| anyhow!("{name}: {fault}"))?, bytes))
}
