//! A function as it ships, started as Lambda starts it: for the benchmarks.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::Context as _;
use birthcert_local::state::{CREDENTIAL, REGION};
use tokio::process::{Child, Command};

use crate::env::Env;

/// The release build of `name`, such as `identity` or `examples/hello_world`.
pub fn release(name: &str) -> PathBuf {
    let ours = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../target")).to_owned();
    std::env::var_os("CARGO_TARGET_DIR").map_or(ours, PathBuf::from).join("release").join(name)
}

/// Starts `program` with nothing in its environment but what Lambda and the template put there.
///
/// # Errors
/// It was not built; the message is the line that does.
pub fn start(program: &Path, env: &Env, runtime_api: SocketAddr) -> anyhow::Result<Child> {
    let aws = &env.config.aws;
    Command::new(program)
        .env_clear()
        .env("AWS_LAMBDA_RUNTIME_API", runtime_api.to_string())
        .env("AWS_LAMBDA_FUNCTION_NAME", "bench")
        .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
        .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
        .env("AWS_REGION", REGION)
        .env("AWS_ACCESS_KEY_ID", CREDENTIAL)
        .env("AWS_SECRET_ACCESS_KEY", CREDENTIAL)
        .env("AWS_ENDPOINT_URL_DYNAMODB", aws.endpoint_dynamodb.as_deref().context("set")?)
        .env("AWS_ENDPOINT_URL_KMS", aws.endpoint_kms.as_deref().context("set")?)
        .env("TABLE_NAME", &env.config.table_name)
        // What a function says when it is killed at work is no news.
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("{}: build it with make functions", program.display()))
}
