//! `birthcert-agent`, run as operators run it beside a broker.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use crate::process::{binary, send_signal};

/// Generous, for machines that compile at the same time.
const LIMIT: Duration = Duration::from_secs(60);

/// The command line of an agent, which may be started repeatedly.
#[derive(Clone, Debug)]
pub struct AgentCommand {
    /// The arguments after the program's name.
    pub arguments: Vec<String>,
    /// The agent's directory.
    pub directory: PathBuf,
    /// The file to which the log is appended.
    pub log: PathBuf,
    /// Shell commands that run before the program, such as setting limits.
    pub before: String,
}

/// A running agent. Dropping it kills it.
#[derive(Debug)]
pub struct Agent {
    child: Child,
    /// The agent's process id.
    pub pid: u32,
    command: AgentCommand,
}

impl AgentCommand {
    /// Starts the agent.
    ///
    /// # Errors
    /// If the agent is not built.
    pub fn start(&self) -> anyhow::Result<Agent> {
        let child = self.command()?.spawn()?;
        let pid = child.id().context("it runs")?;
        Ok(Agent { child, pid, command: self.clone() })
    }

    /// Runs the agent with `--once`; returns its exit status and standard output.
    ///
    /// # Errors
    /// If the agent does not end.
    pub async fn once(&self) -> anyhow::Result<(ExitStatus, String)> {
        let mut command = self.command()?;
        let running = command.arg("--once").stdout(Stdio::piped()).output();
        let ended = timeout(LIMIT, running).await.context("the agent did not end")??;
        OpenOptions::new().append(true).create(true).open(&self.log)?.write_all(&ended.stderr)?;
        Ok((ended.status, String::from_utf8(ended.stdout)?))
    }

    /// Returns the log of all runs.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Returns the content of the agent's status file.
    ///
    /// # Errors
    /// If there is no status file.
    pub fn status(&self) -> anyhow::Result<Value> {
        let path = self.directory.join("status.json");
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        Ok(serde_json::from_str(&text)?)
    }

    /// Returns the command with an option added or replaced.
    pub fn with(&self, [name, value]: [String; 2]) -> Self {
        let mut command = self.clone();
        match command.arguments.iter().position(|it| *it == name) {
            Some(place) => command.arguments[place + 1] = value,
            None => command.arguments.extend([name, value]),
        }
        command
    }

    fn command(&self) -> anyhow::Result<Command> {
        let log = OpenOptions::new().append(true).create(true).open(&self.log)?;
        let program = binary("birthcert-agent")?;
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", &format!("{} exec \"$@\"", self.before), "sh"])
            .arg(program)
            .args(&self.arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .stdin(Stdio::null())
            .stdout(File::create("/dev/null")?)
            .stderr(log)
            .kill_on_drop(true);
        Ok(command)
    }
}

impl Agent {
    /// Waits until the status fulfills `is`, and returns it.
    ///
    /// # Errors
    /// If the agent ends, or does not get there in time.
    pub async fn until(&mut self, is: impl Fn(&Value) -> bool) -> anyhow::Result<Value> {
        let deadline = Instant::now() + LIMIT;
        loop {
            let status = self.command.status().unwrap_or_default();
            // The status of this run, not of an earlier one.
            if status["pid"] == self.pid && is(&status) {
                return Ok(status);
            }
            if let Some(ended) = self.child.try_wait()? {
                bail!("the agent ended: {ended}: {}", self.command.log());
            }
            ensure!(Instant::now() < deadline, "still {status}: {}", self.command.log());
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until the broker has CRLs with this number, and everything that belongs to them.
    ///
    /// # Errors
    /// As [`Agent::until`].
    pub async fn has(&mut self, number: u64) -> anyhow::Result<Value> {
        let is_whole = |status: &Value| {
            let mut problems = status["problems"].as_array().into_iter().flatten();
            status["applied"] == true
                && !problems.any(|it| it["text"] == "download still in progress")
        };
        self.until(|status| is_whole(status) && all_are(status, number)).await
    }

    /// Waits until the agent has CRLs with this number, whatever the broker has.
    ///
    /// # Errors
    /// As [`Agent::until`].
    pub async fn knows(&mut self, number: u64) -> anyhow::Result<Value> {
        self.until(|status| all_are(status, number)).await
    }

    /// Kills the agent.
    ///
    /// # Errors
    /// If the agent is gone.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        Ok(self.child.kill().await?)
    }

    /// Stops the agent as systemd does, and returns its exit status.
    ///
    /// # Errors
    /// If the agent continues.
    pub async fn stop(mut self) -> anyhow::Result<ExitStatus> {
        send_signal("TERM", self.pid).await?;
        Ok(timeout(LIMIT, self.child.wait()).await.context("the agent did not stop")??)
    }
}

fn all_are(status: &Value, number: u64) -> bool {
    let authorities = status["authorities"].as_array();
    authorities
        .is_some_and(|all| !all.is_empty() && all.iter().all(|it| it["crl"]["number"] == number))
}
