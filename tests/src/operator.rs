//! `birthcert`, run by an operator at a machine of their own.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::timeout;

use crate::counterparties::binary;
use crate::env::Env;
use crate::stack::Stack;
use crate::terminal::Terminal;

/// Opens the roots that [`Operator::makes_root`] makes; the first line of the file `passphrase`.
pub const PASSPHRASE: &str = "correct horse battery staple";

/// Far more than any command needs.
const RUN_LIMIT: Duration = Duration::from_secs(60);

/// Somebody at a machine of their own: its home is empty and holds their files, and its environment
/// is what they were given.
pub struct Operator {
    home: TempDir,
    variables: Vec<(&'static str, String)>,
}

/// What one run of the command gave.
pub struct Ran {
    command: String,
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Operator {
    /// At a machine that knows nothing of AWS.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn offline() -> anyhow::Result<Self> {
        let home = TempDir::new()?;
        fs::write(home.path().join("passphrase"), format!("{PASSPHRASE}\nnot this line\n"))?;
        Ok(Self { home, variables: Vec::new() })
    }

    /// Who was given the way to `stack`.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn of(stack: &Stack) -> anyhow::Result<Self> {
        let state = &stack.state;
        Self::given([
            ("AWS_REGION", state.region.clone()),
            ("AWS_ENDPOINT_URL_DYNAMODB", state.aws_endpoint_url_dynamodb.clone()),
            ("AWS_ENDPOINT_URL_KMS", state.aws_endpoint_url_kms.clone()),
            ("BIRTHCERT_PROJECT", state.project_id.clone()),
        ])
    }

    /// Who was given the way to `env`.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn of_env(env: &Env) -> anyhow::Result<Self> {
        let aws = &env.config.aws;
        Self::given([
            ("AWS_REGION", aws.region.clone()),
            ("AWS_ENDPOINT_URL_DYNAMODB", aws.endpoint_dynamodb.clone().context("set")?),
            ("AWS_ENDPOINT_URL_KMS", aws.endpoint_kms.clone().context("set")?),
            ("BIRTHCERT_PROJECT", env.project.to_string()),
            ("BIRTHCERT_TABLE", env.config.table_name.clone()),
        ])
    }

    fn given<const N: usize>(way: [(&'static str, String); N]) -> anyhow::Result<Self> {
        let mut operator = Self::offline()?;
        operator.variables = vec![
            // The tests stay on loopback.
            ("AWS_EC2_METADATA_DISABLED", "true".into()),
            ("AWS_ACCESS_KEY_ID", "local".into()),
            ("AWS_SECRET_ACCESS_KEY", "local".into()),
        ];
        operator.variables.extend(way);
        Ok(operator)
    }

    /// With a variable in the environment.
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self = self.without(name);
        self.variables.push((name, value.into()));
        self
    }

    /// Without it.
    pub fn without(mut self, name: &str) -> Self {
        self.variables.retain(|(variable, _)| *variable != name);
        self
    }

    /// Where a file at home is.
    pub fn path(&self, file: &str) -> PathBuf {
        self.home.path().join(file)
    }

    /// What is in a file at home.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn read(&self, file: &str) -> anyhow::Result<String> {
        fs::read_to_string(self.path(file)).with_context(|| file.to_owned())
    }

    /// Carries a file over to another machine.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn hand(&self, file: &str, other: &Self) -> anyhow::Result<()> {
        fs::copy(
            self.path(file),
            other.path(Path::new(file).file_name().unwrap().to_str().unwrap()),
        )?;
        Ok(())
    }

    /// Types a command whose arguments have no white space, at home and without a terminal.
    ///
    /// # Errors
    /// It is not built, or does not end.
    pub async fn run(&self, line: &str) -> anyhow::Result<Ran> {
        self.run_with(&line.split_whitespace().collect::<Vec<_>>()).await
    }

    /// The same for arguments with white space.
    ///
    /// # Errors
    /// As [`Operator::run`].
    pub async fn run_with(&self, args: &[&str]) -> anyhow::Result<Ran> {
        let mut running = Command::new(binary("birthcert")?);
        self.sit_down(&mut running);
        let running = running.args(args).stdin(Stdio::null()).kill_on_drop(true).output();
        let command = args.join(" ");
        let output = timeout(RUN_LIMIT, running)
            .await
            .with_context(|| format!("{command} did not end within {RUN_LIMIT:?}"))??;
        Ok(Ran {
            command,
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout)?,
            stderr: String::from_utf8(output.stderr)?,
        })
    }

    /// Types a command at a terminal.
    ///
    /// # Errors
    /// It is not built, or there are no terminals.
    pub fn at_terminal(&self, line: &str) -> anyhow::Result<Terminal> {
        let program = binary("birthcert")?;
        let line = format!("{} {line}", program.to_str().context("UTF-8")?);
        Terminal::start(&line, |command| self.sit_down(command))
    }

    /// At home, with nothing in the environment but what they were given.
    fn sit_down(&self, command: &mut Command) {
        command
            .env_clear()
            .env("HOME", self.home.path())
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .current_dir(self.home.path());
    }

    /// What a command that succeeds and complains of nothing prints.
    ///
    /// # Errors
    /// It fails or complains.
    pub async fn done(&self, line: &str) -> anyhow::Result<String> {
        self.run(line).await?.done()
    }

    /// The same, with `--output json`.
    ///
    /// # Errors
    /// As [`Operator::done`], or it is no JSON.
    pub async fn json(&self, line: &str) -> anyhow::Result<Value> {
        Ok(serde_json::from_str(&self.done(&format!("{line} --output json")).await?)?)
    }

    /// The command fails, changes nothing in the home, and says all of `words`.
    ///
    /// # Errors
    /// It succeeds, says something else, or leaves something behind.
    pub async fn refused(&self, line: &str, code: i32, words: &[&str]) -> anyhow::Result<()> {
        let before = self.files()?;
        self.run(line).await?.refused(code, words)?;
        ensure!(self.files()? == before, "{line}: it changed files");
        Ok(())
    }

    /// Every file at home and what is in it.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn files(&self) -> anyhow::Result<BTreeSet<(PathBuf, Vec<u8>)>> {
        let mut files = BTreeSet::new();
        let mut folders = vec![self.home.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder)? {
                let path = entry?.path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let content = fs::read(&path)?;
                    files.insert((path, content));
                }
            }
        }
        Ok(files)
    }

    /// Makes a root in the directory `root`.
    ///
    /// # Errors
    /// As [`Operator::done`].
    pub async fn makes_root(&self) -> anyhow::Result<()> {
        self.done("ca root --directory root --passphrase-file passphrase --yes").await.map(drop)
    }
}

impl Ran {
    /// How it ended, unless by a signal.
    pub fn code(&self) -> Option<i32> {
        self.code
    }

    /// What it printed, however it ended and whatever it said besides.
    pub fn stdout(&self) -> &str {
        &self.stdout
    }

    /// What it said beside its answer.
    pub fn stderr(&self) -> &str {
        &self.stderr
    }

    /// What it printed, if it succeeded and complained of nothing.
    ///
    /// # Errors
    /// It did not.
    pub fn done(self) -> anyhow::Result<String> {
        ensure!(self.code == Some(0), "{}: {:?} {}", self.command, self.code, self.stderr);
        ensure!(self.stderr.is_empty(), "{}: {}", self.command, self.stderr);
        Ok(self.stdout)
    }

    /// What it printed, if it did a part and said all of `words` of the rest.
    ///
    /// # Errors
    /// It did not.
    pub fn partly(self, words: &[&str]) -> anyhow::Result<String> {
        let Self { command, stdout, stderr, .. } = &self;
        ensure!(self.code == Some(5), "{command}: {:?} {stdout}{stderr}", self.code);
        for word in words {
            ensure!(stderr.contains(word), "{command}: no {word:?} in {stderr}");
        }
        Ok(self.stdout)
    }

    /// Checks that it failed with `code`, printed nothing and said all of `words`.
    ///
    /// # Errors
    /// It did not.
    pub fn refused(self, code: i32, words: &[&str]) -> anyhow::Result<()> {
        let Self { command, stdout, stderr, .. } = &self;
        ensure!(self.code == Some(code), "{command}: {:?} {stdout}{stderr}", self.code);
        ensure!(stdout.is_empty(), "{command}: {stdout}");
        let program = if code == 2 { "error: " } else { "birthcert: " };
        ensure!(stderr.starts_with(program), "{command}: {stderr}");
        ensure!(!stderr.contains("panicked"), "{command}: {stderr}");
        // The SDK's errors as dumps of its types are nobody's to read.
        ensure!(!stderr.contains("ServiceError"), "{command}: {stderr}");
        for word in words {
            ensure!(stderr.contains(word), "{command}: no {word:?} in {stderr}");
        }
        Ok(())
    }
}
