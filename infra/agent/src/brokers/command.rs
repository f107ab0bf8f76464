//! Any other broker: files in the forms that most of them read, and a command of the operator's.

use std::path::PathBuf;

use super::{Desired, Output, bundle, reload};
use crate::{directory::Directory, options::Options};

pub(super) const EXAMPLE: &str = "\
Writes in the directory, and then runs the command with the directory in BIRTHCERT_DIRECTORY:
  crl.pem          the CRLs, one a CA
  crls/<CA>.crl    the same, each in DER
  denied.txt       the ids of the denied devices, one a line

Example:
  birthcert-agent command --source https://crl.example.com --root root.pem \\
    --directory /var/lib/birthcert --run /usr/local/bin/tell-the-broker";

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(super) options: Options,
    /// What to run, with sh, when the files changed: run again until it succeeds. It should do what
    /// is not done yet and may find all of it done.
    #[arg(long, value_name = "COMMAND")]
    run: String,
}

pub(crate) struct Hook {
    directory: PathBuf,
    command: String,
}

impl Arguments {
    pub(super) fn broker(&self, directory: &Directory) -> Hook {
        Hook { directory: directory.file(""), command: self.run.clone() }
    }
}

impl Hook {
    pub(super) fn outputs(&self, desired: &Desired<'_>) -> anyhow::Result<Vec<Output>> {
        let output = |name: &str, content| Output::new(self.directory.join(name), content);
        let ids = desired.denied.iter().map(|id| format!("{id}\n"));
        let mut outputs = vec![
            output("crl.pem", bundle(desired)?),
            output("denied.txt", ids.collect::<String>().into_bytes()),
        ];
        for (name, _, crl) in desired.crls {
            outputs.push(output(&format!("crls/{name}.crl"), crl.der().to_vec()));
        }
        Ok(outputs)
    }

    pub(super) async fn enforce(&self) -> anyhow::Result<()> {
        reload::run(&self.command, [("BIRTHCERT_DIRECTORY", self.directory.clone())]).await
    }
}
