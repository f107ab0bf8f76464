//! Starts of a function with a changed environment.

use std::ffi::OsString;

use anyhow::{Context as _, ensure};
use birthcert_tests::env::Env;
use birthcert_tests::lambda::function::{self, Start};
use birthcert_tests::process::binary;
use serde_json::Value;
use tokio::net::TcpListener;

/// The functions.
pub(super) const FUNCTIONS: [&str; 3] = ["crl", "enroll", "identity"];

/// Changes to a function's environment; `None` unsets a variable.
pub(super) type Changes<'a> = &'a [(&'static str, Option<OsString>)];

/// The warning of a start without a pinned root.
const WARNING: &str = "\"event\":\"root_not_pinned\"";

/// Returns true if the function serves, and warns that no root is pinned.
pub(super) async fn warns(env: &Env, function: &str, changes: Changes<'_>) -> anyhow::Result<bool> {
    let start = start_and_warn(env, function, changes).await?;
    ensure!(start.serves, "{function} with {changes:?}: {start:?}");
    let warnings = start.output.lines().filter(|line| line.contains(WARNING)).count();
    ensure!(warnings <= 1, "{}", start.output);
    Ok(warnings == 1)
}

/// Starts a function, and leaves out the warning that no root is pinned.
async fn start(env: &Env, function: &str, changes: Changes<'_>) -> anyhow::Result<Start> {
    let mut start = start_and_warn(env, function, changes).await?;
    let lines = start.output.lines().filter(|line| !line.contains(WARNING));
    start.output = lines.collect::<Vec<_>>().join("\n");
    Ok(start)
}

async fn start_and_warn(env: &Env, function: &str, changes: Changes<'_>) -> anyhow::Result<Start> {
    let runtime_api = TcpListener::bind("127.0.0.1:0").await?;
    let mut environment = function::environment(env, runtime_api.local_addr()?);
    // A panic would then print a backtrace.
    environment.insert("RUST_BACKTRACE", "1".into());
    for (name, value) in changes {
        environment.remove(name);
        environment.extend(value.clone().map(|value| (*name, value)));
    }
    function::attempt(&binary(function)?, &environment, &runtime_api).await
}

pub(super) async fn serves(
    env: &Env,
    function: &str,
    changes: Changes<'_>,
) -> anyhow::Result<String> {
    let start = start(env, function, changes).await?;
    ensure!(start.serves, "{function} with {changes:?}: {start:?}");
    Ok(start.output)
}

/// Checks that the function exits by itself, with a single line that contains all of `words`.
pub(super) async fn refuses(
    env: &Env,
    function: &str,
    changes: Changes<'_>,
    words: &[&str],
) -> anyhow::Result<()> {
    let start = start(env, function, changes).await?;
    let case = || format!("{function} with {changes:?}: {start:?}");
    ensure!(!start.serves && start.code == Some(1), "{}", case());
    ensure!(start.output.lines().count() == 1, "{}", case());
    let line: Value = serde_json::from_str(&start.output).with_context(case)?;
    ensure!(line["event"] == "start_failed" && line["level"] == "ERROR", "{}", case());
    let cause = line["cause"].as_str().with_context(case)?;
    for word in words {
        ensure!(cause.contains(word), "no {word:?} in {}", case());
    }
    Ok(())
}
