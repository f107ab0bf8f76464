//! The handlers against docs/reference/openapi.yaml: schemathesis generates valid and invalid requests, and
//! checks every response against the document.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use birthcert_tests::process::tool;
use birthcert_tests::stack::Stack;
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::timeout;

pub(crate) fn tests() -> Vec<crate::suite::StandaloneTest> {
    crate::suite::standalone![the_document_is_valid, the_handlers_do_what_the_document_says]
}

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/reference/openapi.yaml");
/// A schema cannot express that a string is signed: most requests that match it are refused. The
/// document's example is not.
const REQUESTS: &str = r#"
[[operations]]
include-operation-id = "certify"
warnings = false
checks.positive_data_acceptance.expected-statuses = ["200", "400", "429", "503"]
"#;
const LIMIT: Duration = Duration::from_secs(180);

async fn the_document_is_valid() -> anyhow::Result<()> {
    let said = run("openapi-spec-validator", &[DOCUMENT]).await?;
    ensure!(said.contains("OK"), "{said}");
    Ok(())
}

async fn the_handlers_do_what_the_document_says() -> anyhow::Result<()> {
    let scratch = TempDir::new()?;
    let stack = Stack::start(&scratch.path().join("stack")).await?;
    let token = &stack.state.enrollment_token;
    let device = stack.api.enroll(token).await?.success::<birthcert_tests::api::Enrolled>()?;

    let settings = scratch.path().join("schemathesis.toml");
    let tokens = format!(
        "[auth.openapi.enrollmentToken]\napi_key = \"{token}\"\n\
         [auth.openapi.deviceToken]\nbearer = \"{}\"\n{REQUESTS}",
        device.device_token
    );
    fs::write(&settings, tokens)?;
    let settings = settings.to_str().context("UTF-8")?;
    // A fixed seed, so that failures can be reproduced.
    let options = ["--url", &stack.state.api_url, "--checks", "all", "-n", "100", "--seed", "1"];
    let args = [&["--config-file", settings, "run", DOCUMENT][..], &options].concat();
    let said = run("schemathesis", &args).await?;
    for expected in ["3 selected / 3 total", "No issues found"] {
        ensure!(said.contains(expected), "no {expected:?} in:\n{said}");
    }
    Ok(())
}

/// Returns the output of a tool that succeeded.
async fn run(name: &str, args: &[&str]) -> anyhow::Result<String> {
    let program = tool::folder()?.join("openapi/venv/bin").join(name);
    let missing = || format!("{name} is not here; install it with: tests/tools/install");
    let scratch = TempDir::new()?;
    let running = Command::new(program)
        .args(args)
        // In a scratch folder: schemathesis stores its findings and reports there.
        .current_dir(scratch.path())
        .env("HOME", scratch.path())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let ended = timeout(LIMIT, running).await.context("it did not end")?.with_context(missing)?;
    let said = [ended.stdout, ended.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    ensure!(ended.status.success(), "{name}: {}\n{said}", ended.status);
    Ok(said)
}
