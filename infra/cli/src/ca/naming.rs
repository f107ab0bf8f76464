//! What a subordinate is called and what it issues.

use birthcert::profile::Usage;
use serde::Deserialize;
use x509_cert::name::Name;

use crate::root;

/// The names of a subordinate.
#[derive(clap::Args)]
pub(crate) struct Naming {
    /// What it issues, and its name in the API.
    #[arg(long, value_enum)]
    pub(super) usage: UsageName,
    /// Its common name; "birthcert device CA" or "birthcert server CA" unless given.
    #[arg(long)]
    common_name: Option<String>,
    /// Its organization.
    #[arg(long)]
    pub(super) organization: Option<String>,
}

impl Naming {
    pub(super) fn subject(&self) -> anyhow::Result<Name> {
        root::distinguished(&self.common_name(), self.organization.as_deref())
    }

    pub(super) fn common_name(&self) -> String {
        self.common_name.clone().unwrap_or_else(|| format!("birthcert {} CA", self.usage.name()))
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
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Device => "device",
            Self::Server => "server",
            Self::Service => "service",
        }
    }

    pub(super) fn usage(self) -> Usage {
        match self {
            Self::Device => Usage::Device,
            Self::Server => Usage::Server,
            Self::Service => Usage::Service,
        }
    }
}
