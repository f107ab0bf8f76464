//! `birthcert`, run by an operator on a machine of their own.

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

use crate::env::Env;
use crate::process::binary;
use crate::process::terminal::Terminal;
use crate::process::tool;
use crate::stack::Stack;

/// The passphrase of roots that [`Operator::create_root`] creates; the first line of the file
/// `passphrase`.
pub const PASSPHRASE: &str = "correct horse battery staple";

/// Generous limit for a command.
const RUN_LIMIT: Duration = Duration::from_secs(60);

/// An operator on a machine of their own, with a home directory for their files and an environment
/// for their commands.
pub struct Operator {
    home: TempDir,
    variables: Vec<(&'static str, String)>,
}

/// The result of a command.
pub struct CommandOutput {
    command: String,
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Operator {
    /// Returns an operator on a machine without access to AWS.
    ///
    /// # Errors
    /// If the file system refuses.
    pub fn offline() -> anyhow::Result<Self> {
        let home = TempDir::new()?;
        fs::write(home.path().join("passphrase"), format!("{PASSPHRASE}\nnot this line\n"))?;
        Ok(Self { home, variables: Vec::new() })
    }

    /// Returns an operator with access to `stack`.
    ///
    /// # Errors
    /// If the file system refuses.
    pub fn of(stack: &Stack) -> anyhow::Result<Self> {
        let state = &stack.state;
        Self::with_variables([
            ("AWS_REGION", state.region.clone()),
            ("AWS_ENDPOINT_URL_DYNAMODB", state.aws_endpoint_url_dynamodb.clone()),
            ("AWS_ENDPOINT_URL_KMS", state.aws_endpoint_url_kms.clone()),
            ("BIRTHCERT_PROJECT", state.project_id.clone()),
            ("BIRTHCERT_ROOT_CERTIFICATE", state.root_certificate.display().to_string()),
        ])
    }

    /// Returns an operator with access to `env`.
    ///
    /// # Errors
    /// If the file system refuses.
    pub fn of_env(env: &Env) -> anyhow::Result<Self> {
        let aws = &env.config.aws;
        Self::with_variables([
            ("AWS_REGION", aws.region.clone()),
            ("AWS_ENDPOINT_URL_DYNAMODB", aws.endpoint_dynamodb.clone().context("set")?),
            ("AWS_ENDPOINT_URL_KMS", aws.endpoint_kms.clone().context("set")?),
            ("BIRTHCERT_PROJECT", env.project.to_string()),
            ("BIRTHCERT_TABLE", env.config.table_name.clone()),
            ("BIRTHCERT_ROOT_SHA256", env.root_sha256()?),
        ])
    }

    fn with_variables<const N: usize>(way: [(&'static str, String); N]) -> anyhow::Result<Self> {
        let mut operator = Self::offline()?;
        operator.variables = vec![
            // Keeps the tests on loopback.
            ("AWS_EC2_METADATA_DISABLED", "true".into()),
            ("AWS_ACCESS_KEY_ID", "local".into()),
            ("AWS_SECRET_ACCESS_KEY", "local".into()),
        ];
        operator.variables.extend(way);
        Ok(operator)
    }

    /// Sets a variable in the environment.
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self = self.without(name);
        self.variables.push((name, value.into()));
        self
    }

    /// Removes a variable from the environment.
    pub fn without(mut self, name: &str) -> Self {
        self.variables.retain(|(variable, _)| *variable != name);
        self
    }

    /// Returns the path of a file in the home directory.
    pub fn path(&self, file: &str) -> PathBuf {
        self.home.path().join(file)
    }

    /// Returns the content of a file in the home directory.
    ///
    /// # Errors
    /// If the file system refuses.
    pub fn read(&self, file: &str) -> anyhow::Result<String> {
        fs::read_to_string(self.path(file)).with_context(|| file.to_owned())
    }

    /// Copies a file to another operator's machine.
    ///
    /// # Errors
    /// If the file system refuses.
    pub fn copy_to(&self, file: &str, other: &Self) -> anyhow::Result<()> {
        fs::copy(
            self.path(file),
            other.path(Path::new(file).file_name().unwrap().to_str().unwrap()),
        )?;
        Ok(())
    }

    /// Runs a command whose arguments contain no white space, in the home directory and without a
    /// terminal.
    ///
    /// # Errors
    /// If `birthcert` is not built, or does not end.
    pub async fn run(&self, line: &str) -> anyhow::Result<CommandOutput> {
        self.run_with(&line.split_whitespace().collect::<Vec<_>>()).await
    }

    /// As [`Operator::run`], for arguments that may contain white space.
    ///
    /// # Errors
    /// As [`Operator::run`].
    pub async fn run_with(&self, args: &[&str]) -> anyhow::Result<CommandOutput> {
        self.output_of(Command::new(binary("birthcert")?), args).await
    }

    /// As [`Operator::run`], with a clock that differs by `offset`, such as `+3h` or `-2d`.
    ///
    /// # Errors
    /// As [`Operator::run`], and if faketime is missing.
    pub async fn run_at(&self, offset: &str, line: &str) -> anyhow::Result<CommandOutput> {
        let mut faketime = Command::new(tool::find("faketime")?);
        faketime.args(["-f", offset]).arg(binary("birthcert")?);
        self.output_of(faketime, &line.split_whitespace().collect::<Vec<_>>()).await
    }

    async fn output_of(
        &self,
        mut program: Command,
        args: &[&str],
    ) -> anyhow::Result<CommandOutput> {
        self.configure(&mut program);
        let running = program.args(args).stdin(Stdio::null()).kill_on_drop(true).output();
        let command = args.join(" ");
        let output = timeout(RUN_LIMIT, running)
            .await
            .with_context(|| format!("{command} did not end within {RUN_LIMIT:?}"))??;
        Ok(CommandOutput {
            command,
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout)?,
            stderr: String::from_utf8(output.stderr)?,
        })
    }

    /// Runs a command at a terminal.
    ///
    /// # Errors
    /// If `birthcert` is not built, or there is no terminal.
    pub fn at_terminal(&self, line: &str) -> anyhow::Result<Terminal> {
        let program = binary("birthcert")?;
        let line = format!("{} {line}", program.to_str().context("UTF-8")?);
        Terminal::start(&line, |command| self.configure(command))
    }

    /// Sets the home directory, and nothing but the operator's variables.
    fn configure(&self, command: &mut Command) {
        command
            .env_clear()
            .env("HOME", self.home.path())
            // faketime changes the clock, but not the times of files.
            .env("NO_FAKE_STAT", "1")
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .current_dir(self.home.path());
    }

    /// Returns the standard output of a command that succeeds without warnings.
    ///
    /// # Errors
    /// If the command fails or warns.
    pub async fn done(&self, line: &str) -> anyhow::Result<String> {
        self.run(line).await?.done()
    }

    /// As [`Operator::done`], with `--output json`.
    ///
    /// # Errors
    /// As [`Operator::done`], and if the output is not valid JSON.
    pub async fn json(&self, line: &str) -> anyhow::Result<Value> {
        Ok(serde_json::from_str(&self.done(&format!("{line} --output json")).await?)?)
    }

    /// Checks that the command fails, leaves the home directory unchanged, and mentions all of
    /// `words`.
    ///
    /// # Errors
    /// If the command succeeds, prints something else, or changes files.
    pub async fn refused(&self, line: &str, code: i32, words: &[&str]) -> anyhow::Result<()> {
        let before = self.files()?;
        self.run(line).await?.refused(code, words)?;
        ensure!(self.files()? == before, "{line}: it changed files");
        Ok(())
    }

    /// Returns every file in the home directory with its content.
    ///
    /// # Errors
    /// If the file system refuses.
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

    /// Creates a root in the directory `root`.
    ///
    /// # Errors
    /// As [`Operator::done`].
    pub async fn create_root(&self) -> anyhow::Result<()> {
        self.done("ca root --directory root --passphrase-file passphrase --yes").await.map(drop)
    }
}

impl CommandOutput {
    /// Returns the exit code, unless a signal ended the command.
    pub fn code(&self) -> Option<i32> {
        self.code
    }

    /// Returns the standard output, whatever the exit code.
    pub fn stdout(&self) -> &str {
        &self.stdout
    }

    /// Returns the standard error.
    pub fn stderr(&self) -> &str {
        &self.stderr
    }

    /// Returns the standard output, if the command succeeded without warnings.
    ///
    /// # Errors
    /// If it did not.
    pub fn done(self) -> anyhow::Result<String> {
        ensure!(self.code == Some(0), "{}: {:?} {}", self.command, self.code, self.stderr);
        ensure!(self.stderr.is_empty(), "{}: {}", self.command, self.stderr);
        Ok(self.stdout)
    }

    /// Returns the standard output, if the command succeeded in part and mentioned all of `words`.
    ///
    /// # Errors
    /// If it did not.
    pub fn partly(self, words: &[&str]) -> anyhow::Result<String> {
        let Self { command, stdout, stderr, .. } = &self;
        ensure!(self.code == Some(5), "{command}: {:?} {stdout}{stderr}", self.code);
        for word in words {
            ensure!(stderr.contains(word), "{command}: no {word:?} in {stderr}");
        }
        Ok(self.stdout)
    }

    /// Checks that the command failed with `code`, printed nothing and mentioned all of `words`.
    ///
    /// # Errors
    /// If it did not.
    pub fn refused(self, code: i32, words: &[&str]) -> anyhow::Result<()> {
        let Self { command, stdout, stderr, .. } = &self;
        ensure!(self.code == Some(code), "{command}: {:?} {stdout}{stderr}", self.code);
        ensure!(stdout.is_empty(), "{command}: {stdout}");
        let program = if code == 2 { "error: " } else { "birthcert: " };
        ensure!(stderr.starts_with(program), "{command}: {stderr}");
        ensure!(!stderr.contains("panicked"), "{command}: {stderr}");
        // Users cannot read the SDK's errors as dumps of its types.
        ensure!(!stderr.contains("ServiceError"), "{command}: {stderr}");
        for word in words {
            ensure!(stderr.contains(word), "{command}: no {word:?} in {stderr}");
        }
        Ok(())
    }
}
