//! The roots in a directory's root.pem, which the broker trusts. A renewal keeps them.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, ensure};
use der::{
    Decode,
    pem::{self, LineEnding},
};
use pki::authority::{Authority, ChainCertificate, RootFingerprint, chain};
use x509_cert::Certificate;

use crate::{
    error::CommandError,
    files::read,
    pinned_roots::{UNEXPECTED, root_of},
};

/// One root, or several while one replaces another. An operator may have added roots of any kind.
pub(super) struct InstalledRoots {
    path: PathBuf,
    roots: Vec<InstalledRoot>,
}

struct InstalledRoot {
    der: Vec<u8>,
    certificate: Certificate,
}

impl InstalledRoots {
    /// Reads a root.pem.
    ///
    /// # Errors
    /// If it is missing, is not complete, or contains anything but certificates.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let name = path.display();
        let restore = || format!("restore {name} from the ceremony's root.pem");
        let text = read(path).with_context(restore)?;
        let mut roots = Vec::new();
        for block in chain::pem_blocks(&text) {
            let root = InstalledRoot::from_pem(block).map_err(|fault| anyhow!("{name}: {fault}"));
            roots.push(root.with_context(restore)?);
        }
        ensure!(!roots.is_empty(), "{}: it contains no certificate", restore());
        Ok(Self { path: path.to_owned(), roots })
    }

    /// Returns the root.pem of a renewal under `authority`: the installed roots, and `accepted` if that is the
    /// CA's root and not installed yet.
    ///
    /// The certificates are encoded again. The directory may belong to the broker's user while root renews it,
    /// so root.pem may be a link to a file that this user cannot read.
    ///
    /// # Errors
    /// If the CA's root is neither installed nor accepted.
    pub(super) fn renewed_under(
        &self,
        authority: &Authority,
        accepted: Option<RootFingerprint>,
    ) -> anyhow::Result<String> {
        let (name, root) = (authority.name(), root_of(authority)?);
        let found = RootFingerprint::of(root.der());
        let mut text = String::new();
        for installed in &self.roots {
            text += &pem::encode_string("CERTIFICATE", LineEnding::LF, &installed.der)?;
        }
        if accepted == Some(found) {
            let is_installed = self.roots.iter().any(|it| it.der == root.der());
            return Ok(if is_installed { text } else { text + root.pem() });
        }
        if self.roots.iter().any(|it| it.is_same_anchor_as(root)) {
            return Ok(text);
        }
        let installed: Vec<_> =
            self.roots.iter().map(|it| RootFingerprint::of(&it.der).to_string()).collect();
        Err(CommandError::Refused(format!(
            "the CA {name} is under the root {found}, but {} has {}; {UNEXPECTED}. If the new root is yours, \
             give --accept-new-root with the fingerprint in its transcript",
            self.path.display(),
            installed.join(", ")
        ))
        .into())
    }
}

impl InstalledRoot {
    fn from_pem(block: &str) -> Result<Self, String> {
        let (label, der) =
            pem::decode_vec(block.as_bytes()).map_err(|e| format!("not PEM: {e}"))?;
        if label != "CERTIFICATE" {
            return Err(format!("the PEM label is {label}, not CERTIFICATE"));
        }
        let certificate =
            Certificate::from_der(&der).map_err(|e| format!("not a certificate: {e}"))?;
        Ok(Self { der, certificate })
    }

    fn is_same_anchor_as(&self, root: &ChainCertificate) -> bool {
        let tbs = self.certificate.tbs_certificate();
        root.is_same_anchor(tbs.subject(), tbs.subject_public_key_info())
    }
}
