//! What a subordinate is called and what it issues.

use pki::{authority::AuthorityName, profile::Usage};
use serde::Deserialize;
use x509_cert::name::Name;

use crate::root;

/// The names of a subordinate.
#[derive(clap::Args)]
pub(crate) struct Naming {
    /// What it issues.
    #[arg(long, value_enum)]
    pub(super) usage: UsageName,
    /// Its name: its usage, as for the first, or with a suffix for a successor, as in device-2.
    #[arg(long, value_name = "NAME")]
    name: Option<AuthorityName>,
    /// Its common name; "birthcert device CA" for device, "birthcert device-2 CA" for device-2, unless
    /// given. No two CAs may have the same.
    #[arg(long)]
    common_name: Option<String>,
    /// Its organization.
    #[arg(long)]
    pub(super) organization: Option<String>,
}

impl Naming {
    pub(super) fn name(&self) -> anyhow::Result<AuthorityName> {
        match &self.name {
            Some(name) => self.usage.expect_of(name).cloned(),
            None => Ok(AuthorityName::first(self.usage.usage())),
        }
    }

    pub(super) fn subject(&self) -> anyhow::Result<Name> {
        root::distinguished(&self.common_name()?, self.organization.as_deref())
    }

    pub(super) fn common_name(&self) -> anyhow::Result<String> {
        let name = self.name()?;
        Ok(self.common_name.clone().unwrap_or_else(|| format!("birthcert {name} CA")))
    }
}

#[derive(Clone, Copy, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(super) enum UsageName {
    /// Identities of devices.
    Device,
    /// Certificates of brokers and other servers.
    Server,
    /// Certificates of services that are clients of brokers, or peers of each other. Only needed
    /// for these: whoever may sign with this CA's key could make a device's name up.
    Service,
}

impl UsageName {
    pub(super) fn usage(self) -> Usage {
        match self {
            Self::Device => Usage::Device,
            Self::Server => Usage::Server,
            Self::Service => Usage::Service,
        }
    }

    /// # Errors
    /// When the CA `name` is for something else.
    pub(super) fn expect_of(self, name: &AuthorityName) -> anyhow::Result<&AuthorityName> {
        let usage = self.usage();
        if name.usage() != usage {
            return Err(crate::exit::usage(format!(
                "--name {name} is no name of a CA for --usage {usage}"
            )));
        }
        Ok(name)
    }
}
