//! Configuration of the AWS SDK. Unlike the functions, it takes region, credentials and endpoints from
//! wherever the AWS CLI does.

use std::time::Duration;

use anyhow::Context;
use aws_config::{BehaviorVersion, SdkConfig, timeout::TimeoutConfig};
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, rustls_provider::CryptoMode},
};

/// By default, the SDK waits for a response as long as the connection is open.
const ATTEMPT: Duration = Duration::from_secs(5);
/// Includes retries.
const OPERATION: Duration = Duration::from_secs(10);

/// Loads the configuration.
///
/// # Errors
/// If no region is configured.
pub(crate) async fn config() -> anyhow::Result<SdkConfig> {
    // ring, as in the functions: one TLS stack in the workspace.
    let http = Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
    let timeouts = TimeoutConfig::builder()
        .operation_attempt_timeout(ATTEMPT)
        .operation_timeout(OPERATION)
        .build();
    let config = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http)
        .timeout_config(timeouts)
        .load()
        .await;
    config.region().context(
        "no AWS region: set AWS_REGION or select a profile; for a stack on this machine, \
         run eval \"$(birthcert-local env --data DIR)\"",
    )?;
    Ok(config)
}
