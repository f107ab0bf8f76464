//! A CA's certificate, with those between it and a root: how a CA proves that it is one.

use anyhow::{Context as _, bail, ensure};
use pki::authority::{CaCertificate, ChainCertificate, chain};
use x509_cert::name::Name;

const END: &str = "-----END CERTIFICATE-----\n";

pub(crate) struct Chain {
    pub(crate) certificate: CaCertificate,
    text: String,
}

impl Chain {
    /// Reads it; where it leads is [`Chain::lead_to`].
    pub(crate) fn read(text: Vec<u8>) -> anyhow::Result<Self> {
        let text = String::from_utf8(text).context("its chain is no text")?;
        ensure!(text.ends_with(END), "its chain is cut off");
        let first = text.split_inclusive(END).next().unwrap_or_default();
        let certificate = CaCertificate::from_pem(first).map_err(anyhow::Error::msg);
        Ok(Self { certificate: certificate.context("its certificate")?, text })
    }

    /// A root, which has nobody above it.
    pub(crate) fn root(root: &ChainCertificate) -> anyhow::Result<Self> {
        Self::read(root.pem().into()).context("the root's CRL cannot be verified")
    }

    /// Finds the way from it to one of the roots.
    pub(crate) fn lead_to(&self, roots: &[ChainCertificate]) -> anyhow::Result<()> {
        let ca = &self.certificate;
        let way = |root: &ChainCertificate| {
            let mut above = chain::between(ca, root, &self.text)?;
            above.push(root.clone());
            chain::verify(ca, &above)
        };
        let mut faults = Vec::new();
        for root in roots {
            match way(root) {
                Ok(()) => return Ok(()),
                Err(fault) => faults.push(fault),
            }
        }
        bail!("its certificate does not lead to the root: {}", faults.join("; "))
    }

    /// The names of those that should be above it, the root's among them.
    pub(crate) fn issuers(&self) -> impl Iterator<Item = Name> {
        let certificates = self.text.split_inclusive(END).map(ChainCertificate::from_pem);
        certificates.flatten().map(|it| it.issuer().clone())
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}
