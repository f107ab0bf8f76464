//! Options for the name and the usage of a subordinate CA.

use pki::{authority::AuthorityName, profile::Usage};
use serde::Deserialize;
use x509_cert::name::Name;

use crate::{error::usage, root::ca::distinguished};

/// The names of a subordinate CA.
#[derive(clap::Args)]
pub(crate) struct NameOptions {
    /// Kind of certificates that the CA issues.
    #[arg(long, value_enum)]
    pub(super) usage: UsageOption,
    /// Name of the CA: its usage, with a suffix for a successor, such as device-2. The default is the
    /// usage.
    #[arg(long, value_name = "NAME")]
    name: Option<AuthorityName>,
    /// Common name of the CA, unique among the CAs. The default contains the name, such as "birthcert
    /// device-2 CA".
    #[arg(long, value_name = "TEXT")]
    common_name: Option<String>,
    /// Organization of the CA. The default is none.
    #[arg(long, value_name = "TEXT")]
    pub(super) organization: Option<String>,
}

impl NameOptions {
    pub(super) fn name(&self) -> anyhow::Result<AuthorityName> {
        match &self.name {
            Some(name) => self.usage.expect_name(name).cloned(),
            None => Ok(AuthorityName::first(self.usage.usage())),
        }
    }

    pub(super) fn subject(&self) -> anyhow::Result<Name> {
        distinguished(&self.common_name()?, self.organization.as_deref())
    }

    pub(super) fn common_name(&self) -> anyhow::Result<String> {
        let name = self.name()?;
        Ok(self.common_name.clone().unwrap_or_else(|| format!("birthcert {name} CA")))
    }
}

#[derive(Clone, Copy, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(super) enum UsageOption {
    /// Identities of devices.
    Device,
    /// Certificates of brokers and other servers.
    Server,
    /// Certificates of services that are clients of brokers, or peers of each other. Set up this CA only
    /// if you need it: anyone who can sign with its key could impersonate a device.
    Service,
}

impl UsageOption {
    pub(super) fn usage(self) -> Usage {
        match self {
            Self::Device => Usage::Device,
            Self::Server => Usage::Server,
            Self::Service => Usage::Service,
        }
    }

    /// Checks that a CA's name belongs to this usage.
    ///
    /// # Errors
    /// If it belongs to another usage.
    pub(super) fn expect_name(self, name: &AuthorityName) -> anyhow::Result<&AuthorityName> {
        let expected = self.usage();
        if name.usage() != expected {
            return Err(usage(format!(
                "--name {name} is not a valid name of a CA for --usage {expected}"
            )));
        }
        Ok(name)
    }
}
