//! A terminal for an operator, by util-linux's `script`: prompts, and output besides the result.

use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::{sleep, timeout};

use crate::process::tool;

/// Generous limit for a command.
const LIMIT: Duration = Duration::from_secs(60);

/// A command that runs at a terminal. Dropping it kills it.
pub struct Terminal {
    child: Child,
    keyboard: ChildStdin,
    screen: ChildStdout,
    /// Everything shown so far, including the echo of the input.
    shown: String,
    /// The length of the part already examined.
    seen: usize,
}

impl Terminal {
    /// Runs `line` in sh at a terminal; `set_up` sets the environment and directory.
    ///
    /// # Errors
    /// If `script` is not installed.
    pub fn start(line: &str, set_up: impl FnOnce(&mut Command)) -> anyhow::Result<Self> {
        let mut command = Command::new(tool::find("script")?);
        set_up(&mut command);
        let mut child = command
            .args(["--quiet", "--return", "--command", line, "/dev/null"])
            .env("TERM", "xterm")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let keyboard = child.stdin.take().context("piped")?;
        let screen = child.stdout.take().context("piped")?;
        Ok(Self { child, keyboard, screen, shown: String::new(), seen: 0 })
    }

    /// Waits until `text` is shown, after everything found before.
    ///
    /// # Errors
    /// If the command ends, or does not show it.
    pub async fn shows(&mut self, text: &str) -> anyhow::Result<()> {
        loop {
            if let Some(place) = self.shown[self.seen..].find(text) {
                self.seen += place + text.len();
                return Ok(());
            }
            if !self.read().await? {
                bail!("no {text:?}: {:?}", self.shown);
            }
        }
    }

    /// Waits until the terminal does not echo input.
    ///
    /// # Errors
    /// If it always does.
    pub async fn is_silent(&self) -> anyhow::Result<()> {
        let script = self.child.id().context("it runs")?;
        let children = fs::read_to_string(format!("/proc/{script}/task/{script}/children"))?;
        let shell = children.split_whitespace().next().context("it runs nothing")?;
        let device = format!("/proc/{shell}/fd/0");
        let deadline = Instant::now() + LIMIT;
        loop {
            let settings = tool::run("stty", ["-a", "-F", &device]).await?.output;
            if settings.split_whitespace().any(|it| it == "-echo") {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "the terminal echoes input: {settings}");
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Types a line.
    ///
    /// # Errors
    /// If the command has ended.
    pub async fn enters(&mut self, line: &str) -> anyhow::Result<()> {
        self.keyboard.write_all(format!("{line}\r").as_bytes()).await?;
        Ok(self.keyboard.flush().await?)
    }

    /// Waits until the command ends; returns its exit code and everything shown.
    ///
    /// # Errors
    /// If it does not end, or was killed.
    pub async fn ended(mut self) -> anyhow::Result<(i32, String)> {
        while self.read().await? {}
        let status = timeout(LIMIT, self.child.wait()).await.context("it does not end")??;
        Ok((status.code().context("it was killed")?, self.shown))
    }

    /// Returns true if there was more output.
    async fn read(&mut self) -> anyhow::Result<bool> {
        let mut part = [0; 1024];
        let read = timeout(LIMIT, self.screen.read(&mut part)).await;
        let length = read.with_context(|| format!("no output: {:?}", self.shown))??;
        ensure!(self.shown.len() < 1 << 20, "the output does not end");
        self.shown.push_str(&String::from_utf8_lossy(&part[..length]));
        Ok(length > 0)
    }
}
