//! A function as it ships, started as Lambda starts it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use birthcert_local::stack::{CREDENTIAL, REGION};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::env::Env;

/// Generous limit for a start.
const LIMIT: Duration = Duration::from_secs(60);

/// A process's environment.
pub type Environment = BTreeMap<&'static str, OsString>;

/// The outcome of a start.
#[derive(Debug)]
pub struct Start {
    /// True if the function asked the runtime API for work; it was killed then.
    pub serves: bool,
    /// The exit code, if the function ended by itself.
    pub code: Option<i32>,
    /// Standard output, followed by standard error.
    pub output: String,
}

/// Returns the path of the release build of `name`, such as `identity` or `examples/hello_world`.
pub fn release(name: &str) -> PathBuf {
    let ours = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../target")).to_owned();
    std::env::var_os("CARGO_TARGET_DIR").map_or(ours, PathBuf::from).join("release").join(name)
}

/// Returns the environment that Lambda and the template give a function.
pub fn environment(env: &Env, runtime_api: SocketAddr) -> Environment {
    let aws = &env.config.aws;
    let mut environment: Environment = [
        ("AWS_LAMBDA_FUNCTION_NAME", "tests"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
        ("AWS_REGION", REGION),
        ("AWS_ACCESS_KEY_ID", CREDENTIAL),
        ("AWS_SECRET_ACCESS_KEY", CREDENTIAL),
        ("TABLE_NAME", &env.config.table_name),
    ]
    .map(|(name, value)| (name, value.into()))
    .into();
    environment.insert("AWS_LAMBDA_RUNTIME_API", runtime_api.to_string().into());
    for (name, url) in [
        ("AWS_ENDPOINT_URL_DYNAMODB", &aws.endpoint_dynamodb),
        ("AWS_ENDPOINT_URL_KMS", &aws.endpoint_kms),
        ("AWS_ENDPOINT_URL_S3", &aws.endpoint_s3),
        ("BUCKET_NAME", &env.config.bucket_name),
    ] {
        environment.extend(url.as_ref().map(|url| (name, url.into())));
    }
    environment
}

/// Starts `program` with only the environment that Lambda and the template give it.
///
/// # Errors
/// If the program is not built; the message says how to build it.
pub fn start(program: &Path, env: &Env, runtime_api: SocketAddr) -> anyhow::Result<Child> {
    start_by(Command::new(program), env, runtime_api)
        .with_context(|| format!("{}: build it with make functions", program.display()))
}

/// Starts a function by another command, such as an emulator's, in that same environment.
///
/// # Errors
/// If the command cannot be started.
pub fn start_by(command: Command, env: &Env, runtime_api: SocketAddr) -> io::Result<Child> {
    set_up(command, &environment(env, runtime_api))
        // The output of a function that is killed at work is of no interest.
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
}

/// Starts `program` and waits until it asks `runtime_api` for work or ends.
///
/// # Errors
/// If it does neither.
pub async fn attempt(
    program: &Path,
    environment: &Environment,
    runtime_api: &TcpListener,
) -> anyhow::Result<Start> {
    let command = Command::new(program);
    let mut child =
        set_up(command, environment).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let attempt = async {
        let asked = tokio::select! {
            accepted = runtime_api.accept() => Some(accepted?),
            ended = child.wait() => ended.map(|_| None)?,
        };
        if asked.is_some() {
            child.kill().await?;
        }
        let serves = asked.is_some();
        let ended = child.wait_with_output().await?;
        let output = [ended.stdout, ended.stderr].concat();
        anyhow::Ok(Start {
            serves,
            code: ended.status.code(),
            output: String::from_utf8_lossy(&output).into_owned(),
        })
    };
    timeout(LIMIT, attempt).await.context("it neither ended nor asked for work")?
}

fn set_up(mut command: Command, environment: &Environment) -> Command {
    command.env_clear().envs(environment).stdin(Stdio::null()).kill_on_drop(true);
    command
}
