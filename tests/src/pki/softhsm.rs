//! SoftHSM, a PKCS#11 token in software, examined with OpenSC.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use tempfile::TempDir;
use tokio::process::Command;

use crate::operator::Operator;
use crate::process::tool;

/// The PIN of tokens from [`SoftHsm::token`].
pub const PIN: &str = "9182736";

/// Paths of SoftHSM's module in Debian, by architecture.
const MODULES: [&str; 3] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
];

/// The tokens of a machine. Dropping it removes them.
pub struct SoftHsm {
    folder: TempDir,
}

impl SoftHsm {
    /// Creates a machine without tokens.
    ///
    /// # Errors
    /// If the file system refuses.
    pub fn new() -> anyhow::Result<Self> {
        let folder = TempDir::new()?;
        let tokens = folder.path().join("tokens");
        fs::create_dir(&tokens)?;
        let config = format!("directories.tokendir = {}\nlog.level = ERROR\n", tokens.display());
        fs::write(folder.path().join("softhsm2.conf"), config)?;
        Ok(Self { folder })
    }

    /// Returns the path of SoftHSM's module.
    ///
    /// # Errors
    /// If it is missing; the message says how to install it.
    pub fn module() -> anyhow::Result<PathBuf> {
        let found = MODULES.into_iter().map(PathBuf::from).find(|path| path.is_file());
        found.with_context(|| tool::missing("libsofthsm2.so"))
    }

    /// Gives an operator access to the tokens.
    ///
    /// # Errors
    /// If the path is not UTF-8.
    pub fn with(&self, operator: Operator) -> anyhow::Result<Operator> {
        Ok(operator.with("SOFTHSM2_CONF", self.config().to_str().context("UTF-8")?))
    }

    /// Creates a token with the PIN [`PIN`].
    ///
    /// # Errors
    /// If SoftHSM is missing or refuses.
    pub async fn token(&self, label: &str) -> anyhow::Result<()> {
        let args = ["--init-token", "--free", "--label", label, "--so-pin", "12345678", "--pin"];
        self.run("softhsm2-util", args.into_iter().chain([PIN])).await.map(drop)
    }

    /// Returns the objects in a token, as OpenSC lists them after login.
    ///
    /// # Errors
    /// If OpenSC is missing or fails.
    pub async fn objects(&self, token: &str) -> anyhow::Result<String> {
        let module = Self::module()?;
        let module = module.to_str().context("UTF-8")?;
        let args = ["--module", module, "--token-label", token, "--login", "--pin", PIN];
        self.run("pkcs11-tool", args.into_iter().chain(["--list-objects"])).await
    }

    /// Creates an extractable P-256 key.
    ///
    /// # Errors
    /// If OpenSC is missing or fails.
    pub async fn extractable_key(&self, token: &str, label: &str) -> anyhow::Result<()> {
        let module = Self::module()?;
        let module = module.to_str().context("UTF-8")?;
        let args = ["--module", module, "--token-label", token, "--login", "--pin", PIN, "--label"];
        let make = [label, "--keypairgen", "--key-type", "EC:prime256v1", "--extractable"];
        self.run("pkcs11-tool", args.into_iter().chain(make)).await.map(drop)
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("softhsm2.conf")
    }

    async fn run(
        &self,
        program: &str,
        args: impl IntoIterator<Item = &str>,
    ) -> anyhow::Result<String> {
        let mut command = Command::new(tool::find(program)?);
        command.args(args).env("SOFTHSM2_CONF", self.config()).kill_on_drop(true);
        let ended = command.output().await?;
        let said = String::from_utf8_lossy(&[ended.stdout, ended.stderr].concat()).into_owned();
        ensure!(ended.status.success(), "{program}: {said}");
        Ok(said)
    }
}
