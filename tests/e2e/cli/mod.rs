//! `birthcert`, as the process that operators start, on a stack of each test's own.

mod broker;
mod ceremony;
mod foreign;
mod json;
mod list;
mod pkcs11;
mod project;
mod requests;
mod root;
mod root_crl;
mod stack;
mod subordinate;
mod succession;
mod terminal;
mod token;
mod usage;

use anyhow::Context as _;
use birthcert_tests::operator::Operator;
use birthcert_tests::stack::Stack;
use tempfile::TempDir;

pub(crate) fn tests() -> Vec<crate::Alone> {
    let suites = [
        root::tests(),
        ceremony::tests(),
        pkcs11::tests(),
        root_crl::tests(),
        foreign::tests(),
        json::tests(),
        stack::tests(),
        subordinate::tests(),
        requests::tests(),
        succession::tests(),
        project::tests(),
        token::tests(),
        terminal::tests(),
        list::tests(),
        broker::tests(),
        usage::tests(),
    ];
    suites.into_iter().flatten().collect()
}

/// A table that `birthcert-local` did not make.
const TABLE: &str = "fleet-two";

async fn start() -> anyhow::Result<(TempDir, Stack, Operator)> {
    let scratch = TempDir::new()?;
    let stack = Stack::start(&scratch.path().join("stack")).await?;
    let operator = Operator::of(&stack)?;
    Ok((scratch, stack, operator))
}

/// A stack with a second table, where nothing is set up, and its operator.
async fn start_with_table() -> anyhow::Result<(TempDir, Stack, Operator)> {
    let (scratch, stack, operator) = start().await?;
    stack.store(TABLE)?.create_table().await?;
    Ok((scratch, stack, operator.with("BIRTHCERT_TABLE", TABLE)))
}

/// A new project and a token for it.
async fn fleet(operator: &Operator) -> anyhow::Result<(String, String)> {
    let project = operator.done("project create --name fleet").await?.trim_end().to_owned();
    let token = operator.json(&format!("token create --project {project}")).await?;
    Ok((project, token["enrollment_token"].as_str().context("a token")?.to_owned()))
}
