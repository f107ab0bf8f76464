//! Outputs of a deployed stack, as template.yaml defines them.

use anyhow::{Context as _, bail};
use aws_config::SdkConfig;
use aws_sdk_cloudformation::error::ProvideErrorMetadata as _;

/// Returns the table of the CloudFormation stack `stack`.
///
/// # Errors
/// If this account and region have no such stack, or it has no output `TableName`.
pub(crate) async fn table(config: &SdkConfig, stack: &str) -> anyhow::Result<String> {
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
    let outputs = found.stacks().first().map(|stack| stack.outputs()).unwrap_or_default();
    let table = outputs.iter().find(|output| output.output_key() == Some("TableName"));
    let table = table.and_then(|output| output.output_value()).with_context(|| {
        format!(
            "the stack {stack} in {region} has no output TableName: check that it is a deployed stack of \
             birthcert"
        )
    })?;
    Ok(table.to_owned())
}
