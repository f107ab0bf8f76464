//! A stack with an operator, as the tests of `birthcert` start from.

use anyhow::Context as _;
use birthcert_tests::operator::Operator;
use birthcert_tests::stack::Stack;
use tempfile::TempDir;

/// A table that `birthcert-local` did not create.
pub(super) const TABLE: &str = "fleet-two";

pub(super) async fn start() -> anyhow::Result<(TempDir, Stack, Operator)> {
    let scratch = TempDir::new()?;
    let stack = Stack::start(&scratch.path().join("stack")).await?;
    let operator = Operator::of(&stack)?;
    Ok((scratch, stack, operator))
}

/// Returns a stack with a second, empty table, and an operator of that table.
pub(super) async fn start_with_table() -> anyhow::Result<(TempDir, Stack, Operator)> {
    let (scratch, stack, operator) = start().await?;
    stack.store(TABLE)?.create_table().await?;
    let operator = operator.without("BIRTHCERT_ROOT_CERTIFICATE");
    Ok((scratch, stack, operator.with("BIRTHCERT_TABLE", TABLE)))
}

/// Creates a project and a token for it.
pub(super) async fn fleet(operator: &Operator) -> anyhow::Result<(String, String)> {
    let project = operator.done("project create --name fleet").await?.trim_end().to_owned();
    let token = operator.json(&format!("token create --project {project}")).await?;
    Ok((project, token["enrollment_token"].as_str().context("a token")?.to_owned()))
}
