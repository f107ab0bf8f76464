//! `birthcert --stack`: the table's name comes from the outputs of a CloudFormation stack.

use std::fs;
use std::process::Stdio;

use anyhow::ensure;
use birthcert_tests::aws::ministack::Ministack;
use birthcert_tests::process::tool;
use pki::authority::{ChainCertificate, RootFingerprint};
use tokio::process::Command;

use super::setup::{TABLE, start, start_with_table};

pub(super) fn tests() -> Vec<crate::suite::StandaloneTest> {
    crate::suite::standalone![a_stacks_outputs_name_the_table, a_stack_pins_its_root]
}

async fn a_stack_pins_its_root() -> anyhow::Result<()> {
    let (_scratch, stack, operator) = start().await?;
    let cloudformation = Ministack::start().await?;
    let endpoint = cloudformation.endpoint();
    let root = fs::read_to_string(&stack.state.root_certificate)?;
    let root = ChainCertificate::from_pem(&root).map_err(anyhow::Error::msg)?;
    let root = RootFingerprint::of(root.der()).to_string();
    let other = "ab".repeat(32);
    let outputs = "TableName: { Value: birthcert }";
    for (name, pinned) in [("none", "none"), ("other", &other), ("ours", &root)] {
        let parameter = format!("Parameters:\n  RootSha256: {{ Type: String, Default: {pinned} }}");
        deploy(endpoint, name, &format!("{outputs}\n{parameter}")).await?;
    }
    let operator = operator.without("BIRTHCERT_ROOT_CERTIFICATE");
    let operator = operator.with("AWS_ENDPOINT_URL_CLOUDFORMATION", endpoint);

    let issue = "broker issue --dns a.example --directory b";
    let words = ["RootSha256 of the stack other", &other, &root];
    operator.refused(&format!("--stack other {issue}"), 4, &words).await?;
    // The command line does not overrule the stack.
    let given = format!("--stack other {issue} --root-sha256 {root}");
    operator.refused(&given, 4, &words).await?;
    operator.done(&format!("--stack ours {issue}")).await?;
    let unpinned = operator.run("--stack none broker issue --dns b.example --directory c").await?;
    ensure!(unpinned.code() == Some(0) && unpinned.stderr().contains("no root is pinned"));
    let listed = operator.run("--stack none ca list").await?;
    ensure!(listed.code() == Some(0), "{}", listed.stderr());
    ensure!(
        listed.stderr().contains("RootSha256 of the stack none is none"),
        "{}",
        listed.stderr()
    );
    operator.done("--stack ours ca list").await?;
    stack.stop().await
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
