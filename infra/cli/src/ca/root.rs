//! `birthcert ca root`.

use std::{fmt, path::PathBuf};

use birthcert::clock::Timestamp;
use serde::Serialize;

use crate::{
    output::Format,
    passphrase::Passphrase,
    root::{CERTIFICATE_FILE, KEY_FILE, Root},
};

#[derive(clap::Args)]
pub(crate) struct RootCommand {
    /// Directory for the root's two files; nothing in it is overwritten.
    #[arg(long, value_name = "DIR")]
    directory: PathBuf,
    /// The root's common name.
    #[arg(long, default_value = "birthcert root")]
    common_name: String,
    /// The root's organization.
    #[arg(long)]
    organization: Option<String>,
    #[command(flatten)]
    passphrase: Passphrase,
}

#[derive(Serialize)]
struct MadeRoot {
    key: PathBuf,
    certificate: PathBuf,
}

impl fmt::Display for MadeRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "The root's key, encrypted: {}", self.key.display())?;
        write!(f, "The root's certificate:     {}", self.certificate.display())
    }
}

impl RootCommand {
    pub(crate) fn run(&self, output: Format, now: Timestamp) -> anyhow::Result<()> {
        let passphrase = self.passphrase.choose()?;
        let organization = self.organization.as_deref();
        Root::create(&self.directory, &self.common_name, organization, &passphrase, now)?;
        output.print(&MadeRoot {
            key: self.directory.join(KEY_FILE),
            certificate: self.directory.join(CERTIFICATE_FILE),
        })
    }
}
