//! `birthcert-local env`.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;

use anyhow::{Context as _, ensure};
use birthcert_tests::api::Enrolled;
use birthcert_tests::process::binary;
use birthcert_tests::stack::Stack;
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use super::setup::in_shell;

pub(super) fn tests() -> Vec<crate::suite::StandaloneTest> {
    crate::suite::standalone![a_shell_finds_it_by_env, env_of_no_stack_is_an_error_that_helps,]
}

async fn a_shell_finds_it_by_env() -> anyhow::Result<()> {
    let scratch = TempDir::new()?;
    let stack = Stack::start(&scratch.path().join("it's a $HOME")).await?;
    let (device, _) = stack.new_device().await?;

    let root = in_shell(&stack, "cat \"$BIRTHCERT_ROOT_CERTIFICATE\"").await?;
    ensure!(root == fs::read_to_string(&stack.state.root_certificate)?);
    let shown = in_shell(&stack, "printf %s \"$BIRTHCERT_API_URL $BIRTHCERT_ENROLLMENT_TOKEN\"");
    ensure!(shown.await? == format!("{} {}", stack.state.api_url, stack.state.enrollment_token));

    let list = in_shell(&stack, "birthcert device list --output json").await?;
    let list: Vec<Value> = serde_json::from_str(&list)?;
    ensure!(list.len() == 1 && list[0]["device_id"] == device.device_id.to_string(), "{list:?}");

    let regenerate =
        format!("birthcert token regenerate {} --output json", stack.token().subject());
    let regenerated: Value = serde_json::from_str(&in_shell(&stack, &regenerate).await?)?;
    let new = regenerated["enrollment_token"].as_str().context("a token")?;
    let old = &stack.state.enrollment_token;
    let refused = stack.api.enroll(old).await?;
    refused.problem(401, "invalid-enrollment-token", &[old])?;
    stack.api.enroll(new).await?.success::<Enrolled>()?;

    let keys: Value =
        serde_json::from_str(&in_shell(&stack, "\"$AWS\" kms list-keys --output json").await?)?;
    let listed = keys["Keys"].as_array().context("keys")?;
    let listed: BTreeSet<_> = listed.iter().map(|key| key["KeyArn"].to_string()).collect();
    let mut used = BTreeSet::new();
    for name in ["device", "server"] {
        used.insert(Value::from(stack.authority(name).await?.key_arn).to_string());
    }
    ensure!(listed == used, "{listed:?} instead of {used:?}");

    let describe = "\"$AWS\" dynamodb describe-table --table-name \"$BIRTHCERT_TABLE\" \
                    --output json";
    let table: Value = serde_json::from_str(&in_shell(&stack, describe).await?)?;
    let table = &table["Table"];
    ensure!(table["TableName"] == "birthcert" && table["TableStatus"] == "ACTIVE", "{table}");
    ensure!(table["GlobalSecondaryIndexes"][0]["IndexName"] == "inventory", "{table}");

    // Reading did not change anything.
    stack.new_device_with(new).await?;
    ensure!(stack.own_store()?.devices(stack.project(), None).await?.len() == 3);
    stack.stop().await
}

async fn local(args: &[&OsStr]) -> anyhow::Result<std::process::Output> {
    Ok(Command::new(binary("birthcert-local")?).args(args).output().await?)
}

async fn env_of_no_stack_is_an_error_that_helps() -> anyhow::Result<()> {
    let scratch = TempDir::new()?;
    let damaged = scratch.path().join("local.json");
    let args = |data: &'static str| ["env", "--data", data].map(OsStr::new);
    let output = local(&args("/nonexistent")).await?;
    let said = String::from_utf8(output.stderr)?;
    ensure!(output.status.code() == Some(1), "{}", output.status);
    ensure!(output.stdout.is_empty(), "a shell would evaluate this");
    ensure!(said.contains("cannot read /nonexistent/local.json"), "{said}");
    ensure!(said.contains("birthcert-local serve --data /nonexistent"), "{said}");

    fs::write(&damaged, "{\"api_url\":")?;
    let args = [OsStr::new("env"), OsStr::new("--data"), scratch.path().as_os_str()];
    let output = local(&args).await?;
    let said = String::from_utf8(output.stderr)?;
    ensure!(output.status.code() == Some(1) && output.stdout.is_empty(), "{}", output.status);
    ensure!(said.contains(&format!("{} is damaged", damaged.display())), "{said}");
    Ok(())
}
