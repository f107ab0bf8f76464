//! `birthcert ca root`.

use std::{fmt, path::PathBuf};

use birthcert::clock::Timestamp;
use serde::Serialize;

use crate::{
    confirm::Consent,
    fields::{Fields, KeyState},
    output::Format,
    passphrase::Passphrase,
    plan::Plan,
    root::{CERTIFICATE_FILE, KEY_FILE, Root, draft, stand_in},
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
    #[command(flatten)]
    consent: Consent,
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
        Root::expect_none(&self.directory)?;
        let organization = self.organization.as_deref();
        if !self.consent.given(output, self.plan(now)?)? {
            return Ok(());
        }
        let passphrase = self.passphrase.choose()?;
        Root::create(&self.directory, &self.common_name, organization, &passphrase, now)?;
        output.print(&MadeRoot {
            key: self.directory.join(KEY_FILE),
            certificate: self.directory.join(CERTIFICATE_FILE),
        })
    }

    fn plan(&self, now: Timestamp) -> anyhow::Result<Plan> {
        let organization = self.organization.as_deref();
        let draft = draft(&self.common_name, organization, &stand_in()?, now)?;
        let file = |name| self.directory.join(name).display().to_string();
        Ok(Plan::new()
            .step(format!("make a key and write it, encrypted, to {}", file(KEY_FILE)))
            .step(format!("sign the root's certificate and write it to {}", file(CERTIFICATE_FILE)))
            .certificate(Fields::of_draft(draft.der(), KeyState::ToBeMade)?))
    }
}
