//! The SDK's clients, configured by hand: a function knows its region and its credentials from its
//! environment, so that none of aws-config's chain is linked, nor run at cold start.

use std::time::Duration;

use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_dynamodb::config::{
    BehaviorVersion, Region, retry::RetryConfig, timeout::TimeoutConfig,
};
use aws_sdk_s3::config::RequestChecksumCalculation;
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_types::SdkConfig;
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};

pub use aws_credential_types::Credentials;

use super::{meter::Meter, service::AwsService};
use crate::error::{Error, Result};

/// The roots that AWS's endpoints chain to (https://www.amazontrust.com/repository/): five instead
/// of the system's 140 save 3 ms of CPU at cold start, and trust nobody else.
const AMAZON_ROOTS: &str = include_str!("amazon-roots.pem");

/// How to reach AWS.
#[derive(Clone)]
pub struct AwsConfig {
    /// The region of the table and the keys.
    pub region: String,
    /// Whom to sign requests as.
    pub credentials: Credentials,
    /// Another endpoint for DynamoDB than AWS's own.
    pub endpoint_dynamodb: Option<String>,
    /// Another endpoint for KMS than AWS's own.
    pub endpoint_kms: Option<String>,
    /// Another endpoint for S3 than AWS's own.
    pub endpoint_s3: Option<String>,
    /// Roots, in PEM, to trust instead of Amazon's.
    pub ca_bundle: Option<CaBundle>,
}

/// Certificates, in PEM, to trust as roots. The SDK's HTTP client panics on one that it cannot read.
#[derive(Clone)]
pub struct CaBundle(Vec<u8>);

impl TryFrom<Vec<u8>> for CaBundle {
    type Error = String;

    fn try_from(pem: Vec<u8>) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            let certificate = certificate.map_err(|error| format!("is not PEM: {error}"))?;
            roots.add(certificate).map_err(|error| format!("has no certificate: {error}"))?;
        }
        if roots.is_empty() {
            return Err("has no certificate".into());
        }
        Ok(Self(pem))
    }
}

/// One attempt is given up after this long, so that its retry still fits the operation's budget.
const ATTEMPT: Duration = Duration::from_secs(2);
/// Retries included. A request makes three operations in sequence at the most before it fails
/// (record, sign, withdraw), which together stay under the functions' timeout: the device gets an
/// answer, and the issuance is given back.
const OPERATION: Duration = Duration::from_secs(5);

/// One attempt to put some tens of megabytes into a bucket of the same region.
const TRANSFER: Duration = Duration::from_secs(20);

impl AwsConfig {
    /// A client for DynamoDB.
    ///
    /// # Errors
    /// When the CA bundle cannot be used.
    pub fn dynamodb(&self) -> Result<aws_sdk_dynamodb::Client> {
        let sdk = self.sdk(self.endpoint_dynamodb.as_deref())?;
        let config = aws_sdk_dynamodb::config::Builder::from(&sdk);
        let config = config.interceptor(Meter(AwsService::DynamoDb)).build();
        Ok(aws_sdk_dynamodb::Client::from_conf(config))
    }

    /// A client for KMS.
    ///
    /// # Errors
    /// When the CA bundle cannot be used.
    pub fn kms(&self) -> Result<aws_sdk_kms::Client> {
        let sdk = self.sdk(self.endpoint_kms.as_deref())?;
        let config = aws_sdk_kms::config::Builder::from(&sdk);
        let config = config.interceptor(Meter(AwsService::Kms)).build();
        Ok(aws_sdk_kms::Client::from_conf(config))
    }

    /// A client for S3, which may take longer for what is large.
    ///
    /// # Errors
    /// When the CA bundle cannot be used.
    pub fn s3(&self) -> Result<aws_sdk_s3::Client> {
        let timeouts = timeouts()
            .to_builder()
            .operation_attempt_timeout(TRANSFER)
            .operation_timeout(2 * TRANSFER)
            .build();
        let config = aws_sdk_s3::config::Builder::from(&self.sdk(self.endpoint_s3.as_deref())?)
            // The signature is over the body's SHA-256 already.
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            // Other endpoints have no name for each bucket.
            .force_path_style(self.endpoint_s3.is_some())
            .timeout_config(timeouts)
            .interceptor(Meter(AwsService::S3));
        Ok(aws_sdk_s3::Client::from_conf(config.build()))
    }

    fn sdk(&self, endpoint: Option<&str>) -> Result<SdkConfig> {
        let mut config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(self.region.clone()))
            .credentials_provider(SharedCredentialsProvider::new(self.credentials.clone()))
            .retry_config(retries())
            .timeout_config(timeouts())
            .http_client(self.http_client()?);
        config.set_endpoint_url(endpoint.map(str::to_owned));
        Ok(config.build())
    }

    fn http_client(&self) -> Result<SharedHttpClient> {
        let roots = self.ca_bundle.as_ref().map_or(AMAZON_ROOTS.as_bytes(), |bundle| &bundle.0);
        let trust = TrustStore::empty().with_pem_certificate(roots);
        let context = TlsContext::builder().with_trust_store(trust).build();
        // ring, not aws-lc: the latter seeds itself with 22 ms of CPU at the first handshake.
        Ok(Builder::new()
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .tls_context(context.map_err(|error| Error::CaBundle(error.to_string()))?)
            .build_https())
    }
}

/// Three attempts. The SDK's own backoff begins with a second, more than a device should wait for a
/// throttle that is over in a tenth of it.
fn retries() -> RetryConfig {
    RetryConfig::standard()
        .with_initial_backoff(Duration::from_millis(100))
        .with_max_backoff(Duration::from_secs(1))
}

fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(2))
        .operation_attempt_timeout(ATTEMPT)
        .operation_timeout(OPERATION)
        .build()
}
