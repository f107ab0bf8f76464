//! How an operator reaches AWS: unlike a function, they find region, credentials and endpoints
//! wherever the AWS CLI does.

use std::time::Duration;

use anyhow::Context;
use aws_config::{BehaviorVersion, SdkConfig, timeout::TimeoutConfig};
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, rustls_provider::CryptoMode},
};

/// By default the SDK waits for an answer as long as the connection lives.
const ATTEMPT: Duration = Duration::from_secs(5);
/// Retries included.
const OPERATION: Duration = Duration::from_secs(10);

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
        "no AWS region: set AWS_REGION or a profile, or for a stack on this machine \
         run eval \"$(birthcert-local env --data DIR)\"",
    )?;
    Ok(config)
}
