//! The passphrase of the root's key: from a file, the environment or a terminal, never from the
//! command line, which others on the machine and the shell's history can read.

use std::{fs, io::IsTerminal, path::PathBuf};

use anyhow::{Context, bail, ensure};
use zeroize::Zeroizing;

const VARIABLE: &str = "BIRTHCERT_ROOT_PASSPHRASE";
const SHORTEST: usize = 12;

#[derive(clap::Args)]
pub(crate) struct Passphrase {
    /// A file whose first line is the passphrase of the root's key. Without it the passphrase comes
    /// from the environment variable BIRTHCERT_ROOT_PASSPHRASE, or is asked for.
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

impl Passphrase {
    /// For a key that exists.
    pub(crate) fn read(&self) -> anyhow::Result<Zeroizing<String>> {
        self.given()?.map_or_else(|| ask("Passphrase of the root's key: "), Ok)
    }

    /// For a new key: long enough, and asked for twice where it is typed.
    pub(crate) fn choose(&self) -> anyhow::Result<Zeroizing<String>> {
        let passphrase = match self.given()? {
            Some(given) => given,
            None => {
                let first = ask("New passphrase for the root's key: ")?;
                ensure!(first == ask("Once more: ")?, "the two passphrases differ");
                first
            }
        };
        ensure!(
            passphrase.chars().count() >= SHORTEST,
            "the passphrase must have {SHORTEST} characters at least"
        );
        Ok(passphrase)
    }

    fn given(&self) -> anyhow::Result<Option<Zeroizing<String>>> {
        if let Some(path) = &self.passphrase_file {
            let name = path.display();
            let text = fs::read_to_string(path).with_context(|| format!("cannot read {name}"))?;
            let text = Zeroizing::new(text);
            let line = text.lines().next().unwrap_or_default();
            ensure!(!line.is_empty(), "{name} is empty");
            return Ok(Some(Zeroizing::new(line.to_owned())));
        }
        Ok(std::env::var(VARIABLE).ok().map(Zeroizing::new))
    }
}

fn ask(prompt: &str) -> anyhow::Result<Zeroizing<String>> {
    if !std::io::stdin().is_terminal() {
        bail!("no passphrase: give --passphrase-file FILE or set {VARIABLE}");
    }
    Ok(Zeroizing::new(rpassword::prompt_password(prompt)?))
}
