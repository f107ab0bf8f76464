//! ministack, an independent KMS, DynamoDB and S3 in Python, which shares no code with ours.

use crate::process::{Process, free_port, tool};

/// A running ministack, empty at the start.
#[derive(Debug)]
pub struct Ministack {
    _process: Process,
    endpoint: String,
}

impl Ministack {
    /// Starts ministack on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// If it is not installed, or does not start.
    pub async fn start() -> anyhow::Result<Self> {
        let port = free_port()?;
        let process = Process::start(&tool::find("ministack")?, port, |ministack, scratch| {
            ministack
                .env_clear()
                .env("HOME", scratch)
                .env("TMPDIR", scratch)
                // The default is every interface.
                .env("BIND_HOST", "127.0.0.1")
                .env("GATEWAY_PORT", port.to_string())
                .env("SERVICES", "cloudformation,dynamodb,iot,kms,s3,sns")
                // An MQTT broker on 8883, on by default whatever SERVICES says.
                .env("IOT_MTLS_ENABLED", "0")
                // Otherwise it looks for old containers of its own to remove.
                .env("DOCKER_HOST", "unix:///nonexistent");
        })
        .await?;
        Ok(Self { _process: process, endpoint: format!("http://127.0.0.1:{port}") })
    }

    /// The URL for `AWS_ENDPOINT_URL_KMS`, `AWS_ENDPOINT_URL_DYNAMODB` and `AWS_ENDPOINT_URL_S3`.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }
}
