//! A stack on this machine, and shells with its environment.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, ensure};
use birthcert_tests::process::{binary, tool};
use birthcert_tests::stack::Stack;
use birthcert_tests::verifiers::openssl::{self, Purpose, Verdict};
use tempfile::TempDir;
use tokio::process::Command;

/// Runs a script in a shell that has evaluated the output of `env`, starting from the environment
/// of a developer who uses AWS.
pub(super) async fn in_shell(stack: &Stack, script: &str) -> anyhow::Result<String> {
    let home = TempDir::new()?;
    let programs = binary("birthcert-local")?;
    let programs = programs.parent().context("a folder")?;
    let script = format!(
        "set -eu\nexports=$(birthcert-local env --data \"$1\")\neval \"$exports\"\n{script}"
    );
    let output = Command::new("/bin/sh")
        .args(["-c", &script, "sh"])
        .arg(&stack.data)
        .env_clear()
        .env("PATH", format!("{}:/usr/bin:/bin", programs.display()))
        .env("HOME", home.path())
        .env("AWS_PROFILE", "of-another-account")
        .env("AWS_SESSION_TOKEN", "of another account")
        .env("AWS_PAGER", "")
        .env("AWS", tool::find("aws")?)
        .output()
        .await?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{script}\n{said}");
    Ok(String::from_utf8(output.stdout)?)
}

/// Checks that a stack starts in `data` and that everything on it works.
pub(super) async fn works(data: &Path) -> anyhow::Result<()> {
    let stack = Stack::start(data).await?;
    stack.new_device().await?;
    let name = "broker.example.com";
    let mut folder = data.as_os_str().to_owned();
    folder.push(".broker");
    let folder = Path::new(&folder);
    let issue = format!("birthcert broker issue --dns {name} --directory '{}'", folder.display());
    in_shell(&stack, &issue).await?;
    let chain = fs::read_to_string(folder.join("broker-chain.pem"))?;
    let root = fs::read_to_string(&stack.state.root_certificate)?;
    let verdict = openssl::verify(&chain, &chain, &root, Purpose::Server).await?;
    ensure!(verdict == Verdict::Accepted, "{verdict:?}");
    ensure!(!data.join("ca.unfinished").exists());
    stack.stop().await
}
