//! The state that a broker should have, and the files that convey it.

use pki::{authority::CaCertificate, crl::VerifiedCrl, names::DeviceId};

use crate::disk::BrokerFile;

pub(crate) struct DesiredState<'a> {
    /// One CRL per CA, with the CA's name, in the order of the names.
    pub(crate) crls: &'a [(&'a str, &'a CaCertificate, &'a VerifiedCrl)],
    pub(crate) denied: &'a [DeviceId],
}

impl DesiredState<'_> {
    /// Renders all CRLs as one PEM file.
    pub(super) fn crl_bundle(&self) -> anyhow::Result<Vec<u8>> {
        let mut text = String::new();
        for (_, _, crl) in self.crls {
            text += &crl.pem()?;
        }
        Ok(text.into_bytes())
    }
}

/// The files that a broker should read.
pub(crate) struct BrokerFiles {
    pub(crate) files: Vec<BrokerFile>,
    /// The error, if some files could not be rendered. The other files are installed all the same.
    pub(crate) error: Option<anyhow::Error>,
}

impl From<anyhow::Result<Vec<BrokerFile>>> for BrokerFiles {
    fn from(files: anyhow::Result<Vec<BrokerFile>>) -> Self {
        match files {
            Ok(files) => Self { files, error: None },
            Err(error) => Self { files: Vec::new(), error: Some(error) },
        }
    }
}
