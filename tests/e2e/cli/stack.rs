//! `birthcert --stack`: the table's name comes from the outputs of a CloudFormation stack.

use std::process::Stdio;

use anyhow::ensure;
use birthcert_tests::aws::ministack::Ministack;
use birthcert_tests::process::tool;
use tokio::process::Command;

use super::setup::{TABLE, start_with_table};

pub(super) fn tests() -> Vec<crate::suite::StandaloneTest> {
    crate::suite::standalone![a_stacks_outputs_name_the_table]
}

async fn a_stacks_outputs_name_the_table() -> anyhow::Result<()> {
    let (_scratch, _stack, operator) = start_with_table().await?;
    let cloudformation = Ministack::start().await?;
    let endpoint = cloudformation.endpoint();
    deploy(endpoint, "fleet", &format!("TableName: {{ Value: {TABLE} }}")).await?;
    deploy(endpoint, "website", "Url: { Value: https://example.com }").await?;
    let operator =
        operator.without("BIRTHCERT_TABLE").with("AWS_ENDPOINT_URL_CLOUDFORMATION", endpoint);

    operator.done("--stack fleet project create --name pumps").await?;
    let listed = operator.done(&format!("--table {TABLE} project list")).await?;
    ensure!(listed.contains("pumps"), "{listed}");
    let operator = operator.with("BIRTHCERT_STACK", "fleet");
    ensure!(operator.done("project list").await? == listed);

    operator.refused("--stack other project list", 1, &["us-east-1", "other", "exist"]).await?;
    operator
        .refused("--stack website project list", 1, &["website", "no output TableName"])
        .await?;
    operator
        .refused(&format!("--stack fleet --table {TABLE} project list"), 2, &["--table"])
        .await?;

    // The option takes precedence over the environment.
    let operator = operator.with("BIRTHCERT_TABLE", "another");
    ensure!(operator.done("--stack fleet project list").await? == listed);
    ensure!(operator.done(&format!("project list --table {TABLE}")).await? == listed);
    let both = ["BIRTHCERT_TABLE", "BIRTHCERT_STACK", "unset", "--table", "--stack"];
    operator.refused("project list", 2, &both).await?;
    operator.done("completions bash").await?;

    let operator = operator.without("BIRTHCERT_TABLE");
    let nobody = operator.with("AWS_ENDPOINT_URL_CLOUDFORMATION", "http://127.0.0.1:1");
    nobody.refused("project list", 1, &["cannot look up the stack fleet"]).await
}

/// Deploys a stack that has little but these outputs.
async fn deploy(endpoint: &str, name: &str, outputs: &str) -> anyhow::Result<()> {
    let template =
        format!("Resources:\n  Topic:\n    Type: AWS::SNS::Topic\nOutputs:\n  {outputs}\n");
    let made = Command::new(tool::find("aws")?)
        .args(["cloudformation", "create-stack", "--endpoint-url", endpoint])
        .args(["--stack-name", name, "--template-body", &template])
        .env_clear()
        .env("AWS_ACCESS_KEY_ID", "local")
        .env("AWS_SECRET_ACCESS_KEY", "local")
        .env("AWS_DEFAULT_REGION", "us-east-1")
        .stdin(Stdio::null())
        .output()
        .await?;
    ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    Ok(())
}
