//! Outputs and parameters of a deployed stack, as template.yaml defines them.

use anyhow::{Context as _, bail};
use aws_config::SdkConfig;
use aws_sdk_cloudformation::error::ProvideErrorMetadata as _;
use pki::authority::Roots;

use crate::pinned_roots::Pin;

const ROOT_SHA256: &str = "RootSha256";

/// Returns the table of the CloudFormation stack `stack`, and the roots that it pins.
///
/// # Errors
/// If this account and region have no such stack, it has no output `TableName`, or its parameter `RootSha256`
/// is not valid.
pub(crate) async fn locate(config: &SdkConfig, stack: &str) -> anyhow::Result<(String, Pin)> {
    let client = aws_sdk_cloudformation::Client::new(config);
    let region = config.region().map_or("", |region| region.as_ref());
    let found = match client.describe_stacks().stack_name(stack).send().await {
        Ok(found) => found,
        // CloudFormation has no error code of its own for a stack that does not exist.
        Err(error) if error.code() == Some("ValidationError") => {
            let message = error.message().unwrap_or("no such stack");
            bail!("cannot look up the stack {stack} in {region}: {message}");
        }
        Err(error) => {
            return Err(error).with_context(|| format!("cannot look up the stack {stack}"));
        }
    };
    let described = found.stacks().first();
    let outputs = described.map(|stack| stack.outputs()).unwrap_or_default();
    let table = outputs.iter().find(|output| output.output_key() == Some("TableName"));
    let table = table.and_then(|output| output.output_value()).with_context(|| {
        format!(
            "the stack {stack} in {region} has no output TableName: check that it is a deployed stack of \
             birthcert"
        )
    })?;
    let parameters = described.map(|stack| stack.parameters()).unwrap_or_default();
    let pinned = parameters.iter().find(|it| it.parameter_key() == Some(ROOT_SHA256));
    let source = format!("{ROOT_SHA256} of the stack {stack}");
    let roots = match pinned.and_then(|it| it.parameter_value()) {
        Some(text) => text.parse::<Roots>().with_context(|| source.clone())?,
        None => Roots::default(),
    };
    Ok((table.to_owned(), Pin { source, roots }))
}
