//! `birthcert-agent`, as the process that operators run beside a broker.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use crate::counterparties::binary;
use crate::process::send_signal;

/// For machines that compile at the same time.
const LIMIT: Duration = Duration::from_secs(60);

/// How an agent is started; it may be, again and again.
#[derive(Clone, Debug)]
pub struct Beside {
    /// What follows the program's name.
    pub arguments: Vec<String>,
    /// Its directory.
    pub directory: PathBuf,
    /// Where its log is added to.
    pub log: PathBuf,
    /// What sh does before the program starts, such as setting limits.
    pub before: String,
}

/// A running agent. Dropping it kills it.
#[derive(Debug)]
pub struct Agent {
    child: Child,
    /// Its process.
    pub pid: u32,
    beside: Beside,
}

impl Beside {
    /// Starts it.
    ///
    /// # Errors
    /// It is not built.
    pub fn start(&self) -> anyhow::Result<Agent> {
        let child = self.command()?.spawn()?;
        let pid = child.id().context("it runs")?;
        Ok(Agent { child, pid, beside: self.clone() })
    }

    /// Runs it once; how it ended, and what it printed.
    ///
    /// # Errors
    /// It does not end.
    pub async fn once(&self) -> anyhow::Result<(ExitStatus, String)> {
        let mut command = self.command()?;
        let running = command.arg("--once").stdout(Stdio::piped()).output();
        let ended = timeout(LIMIT, running).await.context("it did not end")??;
        OpenOptions::new().append(true).create(true).open(&self.log)?.write_all(&ended.stderr)?;
        Ok((ended.status, String::from_utf8(ended.stdout)?))
    }

    /// What all runs have logged.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// What its status file says.
    ///
    /// # Errors
    /// There is none.
    pub fn status(&self) -> anyhow::Result<Value> {
        let path = self.directory.join("status.json");
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        Ok(serde_json::from_str(&text)?)
    }

    /// With another option, or another value for one.
    pub fn with(&self, [name, value]: [String; 2]) -> Self {
        let mut beside = self.clone();
        match beside.arguments.iter().position(|it| *it == name) {
            Some(place) => beside.arguments[place + 1] = value,
            None => beside.arguments.extend([name, value]),
        }
        beside
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
    /// Waits until its status says so, and returns it.
    ///
    /// # Errors
    /// It ends, or does not say so in time.
    pub async fn until(&mut self, is: impl Fn(&Value) -> bool) -> anyhow::Result<Value> {
        let deadline = Instant::now() + LIMIT;
        loop {
            let status = self.beside.status().unwrap_or_default();
            // Of this one, and not of one before it.
            if status["pid"] == self.pid && is(&status) {
                return Ok(status);
            }
            if let Some(ended) = self.child.try_wait()? {
                bail!("it ended: {ended}: {}", self.beside.log());
            }
            ensure!(Instant::now() < deadline, "still {status}: {}", self.beside.log());
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until the broker has CRLs of this number, and all that belongs to them.
    ///
    /// # Errors
    /// As [`Agent::until`].
    pub async fn has(&mut self, number: u64) -> anyhow::Result<Value> {
        let is_whole = |status: &Value| {
            let mut problems = status["problems"].as_array().into_iter().flatten();
            status["applied"] == true && !problems.any(|it| it["text"] == "is still coming")
        };
        self.until(|status| is_whole(status) && all_are(status, number)).await
    }

    /// Waits until it has CRLs of this number, whatever the broker has.
    ///
    /// # Errors
    /// As [`Agent::until`].
    pub async fn knows(&mut self, number: u64) -> anyhow::Result<Value> {
        self.until(|status| all_are(status, number)).await
    }

    /// Ends it at once, wherever it is.
    ///
    /// # Errors
    /// It is gone.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        Ok(self.child.kill().await?)
    }

    /// Ends it as systemd does; how it ended.
    ///
    /// # Errors
    /// It goes on.
    pub async fn stop(mut self) -> anyhow::Result<ExitStatus> {
        send_signal("TERM", self.pid).await?;
        Ok(timeout(LIMIT, self.child.wait()).await.context("it goes on")??)
    }
}

fn all_are(status: &Value, number: u64) -> bool {
    let authorities = status["authorities"].as_array();
    authorities
        .is_some_and(|all| !all.is_empty() && all.iter().all(|it| it["crl"]["number"] == number))
}

/// The argument for an option and a path.
pub fn option(name: &str, path: &Path) -> [String; 2] {
    [name.to_owned(), path.display().to_string()]
}
