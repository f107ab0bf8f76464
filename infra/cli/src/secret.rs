//! What opens the root's key: from a file, the environment or a terminal, never from the command line,
//! which others on the machine and the shell's history can read.

use std::{
    fs,
    io::IsTerminal,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail, ensure};
use zeroize::Zeroizing;

const SHORTEST: usize = 12;

/// The passphrase of a key's file.
#[derive(clap::Args)]
pub(crate) struct Passphrase {
    /// A file whose first line is the passphrase of the root's key. Without it the passphrase comes
    /// from the environment variable BIRTHCERT_ROOT_PASSPHRASE, or is asked for.
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

/// The PIN of a PKCS#11 token.
#[derive(clap::Args)]
pub(crate) struct Pin {
    /// A file whose first line is the PIN of the PKCS#11 token. Without it the PIN comes from the
    /// environment variable BIRTHCERT_ROOT_PIN, or is asked for.
    #[arg(long, value_name = "FILE")]
    pin_file: Option<PathBuf>,
}

impl Passphrase {
    const VARIABLE: &str = "BIRTHCERT_ROOT_PASSPHRASE";
    const WITHOUT: &str =
        "no passphrase: give --passphrase-file FILE or set BIRTHCERT_ROOT_PASSPHRASE";

    /// For a key that exists.
    pub(crate) fn read(&self) -> anyhow::Result<Zeroizing<String>> {
        let given = given(self.passphrase_file.as_deref(), Self::VARIABLE)?;
        given.map_or_else(|| ask("Passphrase of the root's key: ", Self::WITHOUT), Ok)
    }

    /// For a new key: long enough, and asked for twice where it is typed.
    pub(crate) fn choose(&self) -> anyhow::Result<Zeroizing<String>> {
        let passphrase = match given(self.passphrase_file.as_deref(), Self::VARIABLE)? {
            Some(given) => given,
            None => {
                let first = ask("New passphrase for the root's key: ", Self::WITHOUT)?;
                let again = ask("Once more: ", Self::WITHOUT)?;
                ensure!(first == again, "the two passphrases differ");
                first
            }
        };
        ensure!(
            passphrase.chars().count() >= SHORTEST,
            "the passphrase must have {SHORTEST} characters at least"
        );
        Ok(passphrase)
    }
}

impl Pin {
    pub(crate) fn read(&self) -> anyhow::Result<Zeroizing<String>> {
        const WITHOUT: &str = "no PIN: give --pin-file FILE or set BIRTHCERT_ROOT_PIN";
        let given = given(self.pin_file.as_deref(), "BIRTHCERT_ROOT_PIN")?;
        given.map_or_else(|| ask("PIN of the token: ", WITHOUT), Ok)
    }
}

fn given(file: Option<&Path>, variable: &str) -> anyhow::Result<Option<Zeroizing<String>>> {
    if let Some(path) = file {
        let name = path.display();
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {name}"))?;
        let text = Zeroizing::new(text);
        let line = text.lines().next().unwrap_or_default();
        ensure!(!line.is_empty(), "{name} is empty");
        return Ok(Some(Zeroizing::new(line.to_owned())));
    }
    Ok(std::env::var(variable).ok().map(Zeroizing::new))
}

fn ask(prompt: &str, without_terminal: &'static str) -> anyhow::Result<Zeroizing<String>> {
    if !std::io::stdin().is_terminal() {
        bail!(without_terminal);
    }
    Ok(Zeroizing::new(rpassword::prompt_password(prompt)?))
}
