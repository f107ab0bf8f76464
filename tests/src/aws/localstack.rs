//! LocalStack as the compose file starts it, but without a container: its own KMS and
//! CloudFormation, its DynamoDB in front of AWS's own engine, and the init script in its usual
//! place.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use crate::aws::dynamodb_local::DynamoDbLocal;
use crate::process::{Process, free_port, tool};

/// The only account of LocalStack.
pub const ACCOUNT: &str = "000000000000";
/// The region of the init script's deployment.
pub const REGION: &str = "us-east-1";
/// The path of the repository.
pub const REPOSITORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Keeps LocalStack from starting another DynamoDB, for which it has no setting.
const LAUNCHER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/drivers/start_localstack.py");
/// Limit for the init script and for commands; generous.
const LIMIT: Duration = Duration::from_secs(180);

/// A running LocalStack, in which the init script has run.
#[derive(Debug)]
pub struct LocalStack {
    process: Process,
    _dynamodb: DynamoDbLocal,
    /// The file system that its container would have, and the home of commands.
    root: TempDir,
    endpoint: String,
}

impl LocalStack {
    /// Starts LocalStack on a free port of 127.0.0.1, with `template` for the init script.
    ///
    /// # Errors
    /// If LocalStack is not installed or does not start, or the init script fails.
    pub async fn start(template: &Path) -> anyhow::Result<Self> {
        let dynamodb = DynamoDbLocal::start().await?;
        let dynamodb_port = dynamodb.endpoint().rsplit_once(':').context("a port")?.1.to_owned();
        let root = TempDir::new()?;
        fs::create_dir_all(root.path().join("etc/localstack"))?;
        symlink(
            Path::new(REPOSITORY).join("infra/deploy/localstack"),
            root.path().join("etc/localstack/init"),
        )?;
        let port = free_port()?;
        let process = Process::start(&python()?, port, |python, home| {
            python
                .arg(LAUNCHER)
                .env_clear()
                .env("HOME", home)
                .env("PATH", "/usr/bin:/bin")
                .env("FILESYSTEM_ROOT", root.path())
                .env("GATEWAY_LISTEN", format!("127.0.0.1:{port}"))
                // The other choice is meant for containers.
                .env("GATEWAY_SERVER", "hypercorn")
                .env("OVERRIDE_IN_DOCKER", "0")
                // No DNS server, downloads or statistics.
                .env("DNS_ADDRESS", "0")
                .env("SKIP_SSL_CERT_DOWNLOAD", "1")
                .env("DISABLE_EVENTS", "1")
                // DynamoDB Local's own streams, as in the compose file.
                .env("PROVIDER_OVERRIDE_DYNAMODB", "v2")
                .env("DYNAMODB_LOCAL_PORT", dynamodb_port)
                .env("BIRTHCERT_TEMPLATE", template);
        })
        .await?;
        let endpoint = format!("http://127.0.0.1:{port}");
        let localstack = Self { process, _dynamodb: dynamodb, root, endpoint };
        localstack.initialized().await?;
        Ok(localstack)
    }

    /// The URL for `AWS_ENDPOINT_URL`.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Returns the environment variables that direct a program to this LocalStack.
    pub fn variables(&self) -> [(&'static str, String); 6] {
        [
            ("AWS_ENDPOINT_URL", self.endpoint.clone()),
            ("AWS_REGION", REGION.into()),
            ("AWS_DEFAULT_REGION", REGION.into()),
            ("AWS_ACCESS_KEY_ID", "test".into()),
            ("AWS_SECRET_ACCESS_KEY", "test".into()),
            ("AWS_EC2_METADATA_DISABLED", "true".into()),
        ]
    }

    /// Returns the AWS CLI's output for a command whose arguments contain no white space.
    ///
    /// # Errors
    /// If the command fails.
    pub async fn aws(&self, line: &str) -> anyhow::Result<Value> {
        let mut aws = self.command(&tool::find("aws")?);
        aws.args(line.split_whitespace()).args(["--output", "json"]);
        Ok(serde_json::from_str(&stdout(aws).await?)?)
    }

    /// Returns a command whose environment has nothing but the way to this LocalStack.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("HOME", self.root.path())
            .env("PATH", "/usr/bin:/bin")
            .envs(self.variables());
        command
    }

    async fn initialized(&self) -> anyhow::Result<()> {
        let deadline = Instant::now() + LIMIT;
        loop {
            let url = format!("{}/_localstack/init/ready", self.endpoint);
            let ready: Value = serde_json::from_str(&reqwest::get(url).await?.text().await?)?;
            if ready["completed"] == true {
                let scripts = ready["scripts"].as_array().context("scripts")?;
                let all = scripts.iter().all(|script| script["state"] == "SUCCESSFUL");
                ensure!(all && scripts.len() == 1, "{ready}; its log:\n{}", self.process.log());
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "{ready} after {LIMIT:?}:\n{}", self.process.log());
            sleep(Duration::from_millis(500)).await;
        }
    }
}

/// Returns the Python interpreter that has LocalStack.
///
/// # Errors
/// If it is not installed; the message says how to install it.
pub fn python() -> anyhow::Result<PathBuf> {
    installed("localstack/venv/bin/python", "tests/tools/install")
}

/// Returns a program in the virtual environment of AWS's `sam`.
///
/// # Errors
/// If it is not installed; the message says how to install it.
pub fn sam(program: &str) -> anyhow::Result<PathBuf> {
    installed(&format!("sam/venv/bin/{program}"), "infra/tools/template-checks")
}

fn installed(path: &str, installer: &str) -> anyhow::Result<PathBuf> {
    let program = tool::folder()?.join(path);
    ensure!(program.is_file(), "{path} is not here; install it with: {installer}");
    Ok(program)
}

/// Returns the standard output of a command that succeeds.
///
/// # Errors
/// If the command fails, or does not end.
pub async fn stdout(mut command: Command) -> anyhow::Result<String> {
    let shown = format!("{command:?}");
    command.stdin(Stdio::null());
    let running = tokio::process::Command::from(command).kill_on_drop(true).output();
    let output =
        timeout(LIMIT, running).await.with_context(|| format!("{shown} did not end"))??;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{shown}: {}\n{said}", output.status);
    Ok(String::from_utf8(output.stdout)?)
}
