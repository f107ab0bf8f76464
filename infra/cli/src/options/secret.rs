//! The passphrase or PIN of the root's key: from a file, the environment or a terminal. Never from the
//! command line, which other users of the machine and the shell's history can read.

use std::{
    fs,
    io::IsTerminal,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail, ensure};
use zeroize::Zeroizing;

/// Heading of the options that locate and unlock the root's key.
pub(crate) const HEADING: &str = "Root key";

const MIN_LENGTH: usize = 12;

/// The passphrase of a key file.
#[derive(clap::Args)]
pub(crate) struct Passphrase {
    /// File whose first line is the passphrase of the root's key. By default, the passphrase comes from
    /// the environment variable BIRTHCERT_ROOT_PASSPHRASE or from a prompt.
    #[arg(long, value_name = "FILE", help_heading = HEADING)]
    passphrase_file: Option<PathBuf>,
}

/// The PIN of a PKCS#11 token.
#[derive(clap::Args)]
pub(crate) struct Pin {
    /// File whose first line is the PIN of the PKCS#11 token. By default, the PIN comes from the
    /// environment variable BIRTHCERT_ROOT_PIN or from a prompt.
    #[arg(long, value_name = "FILE", help_heading = HEADING)]
    pin_file: Option<PathBuf>,
}

impl Passphrase {
    const VARIABLE: &str = "BIRTHCERT_ROOT_PASSPHRASE";
    const MISSING: &str =
        "no passphrase: give --passphrase-file FILE or set BIRTHCERT_ROOT_PASSPHRASE";

    /// Reads the passphrase of an existing key.
    pub(crate) fn read(&self) -> anyhow::Result<Zeroizing<String>> {
        let given = given(self.passphrase_file.as_deref(), Self::VARIABLE)?;
        given.map_or_else(|| ask("Passphrase of the root's key: ", Self::MISSING), Ok)
    }

    /// Reads the passphrase for a new key and checks its length. A prompt asks for it twice.
    pub(crate) fn choose(&self) -> anyhow::Result<Zeroizing<String>> {
        let passphrase = match given(self.passphrase_file.as_deref(), Self::VARIABLE)? {
            Some(given) => given,
            None => {
                let first = ask("New passphrase for the root's key: ", Self::MISSING)?;
                let again = ask("Repeat the passphrase: ", Self::MISSING)?;
                ensure!(first == again, "the two passphrases differ");
                first
            }
        };
        ensure!(
            passphrase.chars().count() >= MIN_LENGTH,
            "the passphrase must have at least {MIN_LENGTH} characters"
        );
        Ok(passphrase)
    }
}

impl Pin {
    pub(crate) fn read(&self) -> anyhow::Result<Zeroizing<String>> {
        const MISSING: &str = "no PIN: give --pin-file FILE or set BIRTHCERT_ROOT_PIN";
        let given = given(self.pin_file.as_deref(), "BIRTHCERT_ROOT_PIN")?;
        given.map_or_else(|| ask("PIN of the token: ", MISSING), Ok)
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

fn ask(prompt: &str, missing: &'static str) -> anyhow::Result<Zeroizing<String>> {
    if !std::io::stdin().is_terminal() {
        bail!(missing);
    }
    Ok(Zeroizing::new(rpassword::prompt_password(prompt)?))
}
