//! Any other broker: files in common formats, and a command of the operator's.

use std::path::PathBuf;

use super::{desired_state::DesiredState, reload};
use crate::{
    disk::{BrokerFile, DataDirectory},
    options::Options,
};

pub(super) const EXAMPLE: &str = "\
Example:
  birthcert-agent command --source https://crl.example.com --root root.pem \\
    --directory /var/lib/birthcert --run /usr/local/bin/tell-the-broker

The command runs after a change of these files, whose directory is in BIRTHCERT_DIRECTORY:
  crl.pem          the CRLs of all CAs, in PEM
  crls/<CA>.crl    one CRL per CA, in DER
  denied.txt       the ids of the denied devices, one per line";

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(super) options: Options,
    /// Command to run with sh after each change, until it succeeds. It must be idempotent.
    #[arg(long, value_name = "COMMAND")]
    run: String,
}

pub(crate) struct Hook {
    directory: PathBuf,
    command: String,
}

impl Arguments {
    pub(super) fn broker(&self, directory: &DataDirectory) -> Hook {
        Hook { directory: directory.file(""), command: self.run.clone() }
    }
}

impl Hook {
    pub(super) fn files(&self, desired: &DesiredState<'_>) -> anyhow::Result<Vec<BrokerFile>> {
        let file = |name: &str, content| BrokerFile::new(self.directory.join(name), content);
        let ids = desired.denied.iter().map(|id| format!("{id}\n"));
        let mut files = vec![
            file("crl.pem", desired.crl_bundle()?),
            file("denied.txt", ids.collect::<String>().into_bytes()),
        ];
        for (name, _, crl) in desired.crls {
            files.push(file(&format!("crls/{name}.crl"), crl.der().to_vec()));
        }
        Ok(files)
    }

    pub(super) async fn apply(&self) -> anyhow::Result<()> {
        reload::run(&self.command, [("BIRTHCERT_DIRECTORY", self.directory.clone())]).await
    }
}
