//! The pinned root certificates.

use std::{fs, path::Path};

use anyhow::{Context as _, ensure};
use pki::authority::ChainCertificate;

const END: &str = "-----END CERTIFICATE-----";

/// Reads the root certificates from a PEM file: one, or several during a root change.
pub(crate) fn load_roots(file: &Path) -> anyhow::Result<Vec<ChainCertificate>> {
    let name = file.display();
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {name}"))?;
    let mut roots = Vec::new();
    for part in text.split_inclusive(END).filter(|part| part.contains(END)) {
        let root = ChainCertificate::from_pem(part.trim_start()).map_err(anyhow::Error::msg);
        let root = root.with_context(|| name.to_string())?;
        ensure!(
            root.is_issued_by(&root),
            "{name} contains a certificate that is not a root certificate"
        );
        roots.push(root);
    }
    ensure!(!roots.is_empty(), "{name} contains no certificate");
    Ok(roots)
}
