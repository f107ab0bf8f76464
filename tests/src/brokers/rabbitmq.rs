//! Debian's RabbitMQ with the configuration that operators get: a node and an epmd of its own, both
//! on 127.0.0.1.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use tempfile::TempDir;
use tokio::process::Command;

use crate::process::{Process, free_port, tool};

/// Debian's wrappers in /usr/sbin switch to the user `rabbitmq`, and know only that user's node.
const PROGRAMS: &str = "/usr/lib/rabbitmq/bin";

/// A running broker.
#[derive(Debug)]
pub struct Rabbitmq {
    // Dropped in this order.
    process: Process,
    _epmd: Process,
    home: TempDir,
    variables: Vec<(&'static str, String)>,
}

impl Rabbitmq {
    /// Starts the configuration in `folder`.
    ///
    /// # Errors
    /// If RabbitMQ is not installed, or does not start.
    pub async fn start(folder: &Path, mqtt_port: u16) -> anyhow::Result<Self> {
        // Names the missing package.
        tool::find("rabbitmq-server")?;
        let home = TempDir::new()?;
        let (epmd_port, dist_port) = (free_port()?, free_port()?);
        let epmd = Process::start(&tool::find("epmd")?, epmd_port, |epmd, _| {
            epmd.args(["-address", "127.0.0.1", "-port", &epmd_port.to_string()]);
        })
        .await?;

        let at = |name: &str| home.path().join(name).display().to_string();
        let config = |name: &str| folder.join(name).display().to_string();
        let mut variables = vec![
            ("PATH", std::env::var("PATH").unwrap_or_default()),
            ("HOME", home.path().display().to_string()),
            ("ERL_EPMD_ADDRESS", "127.0.0.1".into()),
            ("ERL_EPMD_PORT", epmd_port.to_string()),
            ("RABBITMQ_NODENAME", format!("birthcert-{dist_port}@localhost")),
            ("RABBITMQ_DIST_PORT", dist_port.to_string()),
            ("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", LOOPBACK.into()),
            ("RABBITMQ_CTL_ERL_ARGS", LOOPBACK.into()),
            ("RABBITMQ_MNESIA_BASE", at("mnesia")),
            ("RABBITMQ_LOG_BASE", at("log")),
            // To standard output, where the tests read it.
            ("RABBITMQ_LOGS", "-".into()),
            ("RABBITMQ_PID_FILE", at("pid")),
            ("RABBITMQ_CONF_ENV_FILE", "/nonexistent".into()),
            ("RABBITMQ_CONFIG_FILE", config("rabbitmq")),
            ("RABBITMQ_ENABLED_PLUGINS_FILE", config("enabled_plugins")),
            // Otherwise written to the current directory of the tests.
            ("ERL_CRASH_DUMP_BYTES", "0".into()),
            // Makes the script become the server, rather than its parent.
            ("NOTIFY_SOCKET", at("nobody-listens")),
        ];
        if folder.join("advanced.config").exists() {
            variables.push(("RABBITMQ_ADVANCED_CONFIG_FILE", config("advanced.config")));
        }
        let program = PathBuf::from(PROGRAMS).join("rabbitmq-server");
        let process = Process::start(&program, mqtt_port, |rabbitmq, _| {
            rabbitmq.env_clear().envs(variables.iter().map(|(name, value)| (name, value)));
        })
        .await?;
        let broker = Self { process, _epmd: epmd, home, variables };
        // RabbitMQ listens before all of its plugins are up.
        broker.ctl(&["await_startup"]).await?;
        Ok(broker)
    }

    /// Runs `rabbitmqctl` for this node.
    ///
    /// # Errors
    /// If it fails; the message is its output.
    pub async fn ctl(&self, args: &[&str]) -> anyhow::Result<String> {
        let ran = Command::new(PathBuf::from(PROGRAMS).join("rabbitmqctl"))
            .args(args)
            .env_clear()
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .current_dir(self.home.path())
            .kill_on_drop(true)
            .output()
            .await
            .context("rabbitmqctl")?;
        let output = String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned();
        ensure!(ran.status.success(), "rabbitmqctl {args:?}: {output}");
        Ok(output)
    }

    /// Returns a shell command that runs `rabbitmqctl` for this node.
    pub fn shell(&self, line: &str) -> String {
        let variables = self.variables.iter().map(|(name, value)| format!("{name}='{value}'"));
        let variables = variables.collect::<Vec<_>>().join(" ");
        format!("env -i {variables} {PROGRAMS}/rabbitmqctl {line}")
    }

    /// Returns the broker's log.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Imports users, as an operator does.
    ///
    /// # Errors
    /// As [`Rabbitmq::ctl`].
    pub async fn import(&self, definitions: &Path) -> anyhow::Result<()> {
        let file = fs::canonicalize(definitions)?;
        self.ctl(&["import_definitions", file.to_str().context("UTF-8")?]).await.map(drop)
    }
}

const LOOPBACK: &str = "-kernel inet_dist_use_interface {127,0,0,1}";
