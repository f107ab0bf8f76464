//! A CA's certificate chain: its certificate and those between it and a root.

use anyhow::{Context as _, bail, ensure};
use pki::authority::{CaCertificate, ChainCertificate, chain};
use x509_cert::name::Name;

const END: &str = "-----END CERTIFICATE-----\n";

pub(crate) struct Chain {
    pub(crate) certificate: CaCertificate,
    text: String,
}

impl Chain {
    /// Parses a chain; [`Chain::verify`] verifies it.
    pub(crate) fn parse(text: Vec<u8>) -> anyhow::Result<Self> {
        let text = String::from_utf8(text).context("certificate chain is not valid UTF-8")?;
        ensure!(text.ends_with(END), "certificate chain is truncated");
        let first = text.split_inclusive(END).next().unwrap_or_default();
        let certificate = CaCertificate::from_pem(first).map_err(anyhow::Error::msg);
        Ok(Self { certificate: certificate.context("invalid CA certificate")?, text })
    }

    /// Builds the chain of a root, which consists of the root alone.
    pub(crate) fn of_root(root: &ChainCertificate) -> anyhow::Result<Self> {
        Self::parse(root.pem().into()).context("cannot verify CRLs of this root")
    }

    /// Verifies that the chain leads to one of the roots.
    pub(crate) fn verify(&self, roots: &[ChainCertificate]) -> anyhow::Result<()> {
        let ca = &self.certificate;
        let verify = |root: &ChainCertificate| {
            let mut above = chain::intermediates(ca, root, &self.text)?;
            above.push(root.clone());
            chain::verify(ca, &above)
        };
        let mut faults = Vec::new();
        for root in roots {
            match verify(root) {
                Ok(()) => return Ok(()),
                Err(fault) => faults.push(fault),
            }
        }
        bail!("certificate does not chain to a trusted root: {}", faults.join("; "))
    }

    /// Returns the issuer name of every certificate in the chain, so that the root is included.
    pub(crate) fn issuers(&self) -> impl Iterator<Item = Name> {
        let certificates = self.text.split_inclusive(END).map(ChainCertificate::from_pem);
        certificates.flatten().map(|it| it.issuer().clone())
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}
