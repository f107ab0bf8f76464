//! Clients of the AWS SDK, configured without aws-config: a function has its region and credentials in its
//! environment, so the provider chain need not be linked, nor run at cold start.

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

use super::{meter::Meter, service::AwsService};
use crate::error::{Error, Result};

pub use aws_credential_types::Credentials;

/// The root certificates of AWS's endpoints (<https://www.amazontrust.com/repository/>). Five instead of
/// the system's 140 save 3 ms of CPU at cold start, and no other CA is trusted.
const AMAZON_ROOTS: &str = include_str!("amazon-roots.pem");

/// Region, credentials and endpoints of AWS.
#[derive(Clone)]
pub struct AwsConfig {
    /// The region of the table, the keys and the bucket.
    pub region: String,
    /// The credentials that sign requests.
    pub credentials: Credentials,
    /// An endpoint for DynamoDB instead of AWS's.
    pub endpoint_dynamodb: Option<String>,
    /// An endpoint for KMS instead of AWS's.
    pub endpoint_kms: Option<String>,
    /// An endpoint for S3 instead of AWS's.
    pub endpoint_s3: Option<String>,
    /// Root certificates to trust instead of Amazon's.
    pub ca_bundle: Option<CaBundle>,
    /// An HTTP client instead of the one over TLS, for tests that answer calls within the process.
    pub http_client: Option<SharedHttpClient>,
}

/// Root certificates in PEM, checked beforehand: the SDK's HTTP client panics on one that it cannot parse.
#[derive(Clone)]
pub struct CaBundle(Vec<u8>);

impl TryFrom<Vec<u8>> for CaBundle {
    type Error = String;

    fn try_from(pem: Vec<u8>) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            let certificate = certificate.map_err(|error| format!("is not PEM: {error}"))?;
            roots
                .add(certificate)
                .map_err(|error| format!("contains a certificate that is not valid: {error}"))?;
        }
        if roots.is_empty() {
            return Err("contains no certificate".into());
        }
        Ok(Self(pem))
    }
}

/// Timeout of one attempt. A retry still fits into the timeout of the operation.
const ATTEMPT: Duration = Duration::from_secs(2);
/// Timeout of one operation, including retries. The deadline of a request ends it earlier if it has to.
const OPERATION: Duration = Duration::from_secs(5);

/// Timeout of one attempt to upload tens of megabytes to a bucket in the same region.
const TRANSFER: Duration = Duration::from_secs(20);

impl AwsConfig {
    /// Returns a client for DynamoDB.
    ///
    /// # Errors
    /// If the CA bundle cannot be used.
    pub fn dynamodb(&self) -> Result<aws_sdk_dynamodb::Client> {
        let sdk = self.sdk(self.endpoint_dynamodb.as_deref())?;
        let config = aws_sdk_dynamodb::config::Builder::from(&sdk);
        let config = config.interceptor(Meter(AwsService::DynamoDb)).build();
        Ok(aws_sdk_dynamodb::Client::from_conf(config))
    }

    /// Returns a client for KMS.
    ///
    /// # Errors
    /// If the CA bundle cannot be used.
    pub fn kms(&self) -> Result<aws_sdk_kms::Client> {
        let sdk = self.sdk(self.endpoint_kms.as_deref())?;
        let config = aws_sdk_kms::config::Builder::from(&sdk);
        let config = config.interceptor(Meter(AwsService::Kms)).build();
        Ok(aws_sdk_kms::Client::from_conf(config))
    }

    /// Returns a client for S3, with longer timeouts for large objects.
    ///
    /// # Errors
    /// If the CA bundle cannot be used.
    pub fn s3(&self) -> Result<aws_sdk_s3::Client> {
        let timeouts = timeouts()
            .to_builder()
            .operation_attempt_timeout(TRANSFER)
            .operation_timeout(2 * TRANSFER)
            .build();
        let config = aws_sdk_s3::config::Builder::from(&self.sdk(self.endpoint_s3.as_deref())?)
            // The request's signature covers the body's SHA-256 already.
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            // Emulators have no host name for each bucket.
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
        if let Some(client) = &self.http_client {
            return Ok(client.clone());
        }
        let roots = self.ca_bundle.as_ref().map_or(AMAZON_ROOTS.as_bytes(), |bundle| &bundle.0);
        let trust = TrustStore::empty().with_pem_certificate(roots);
        let context = TlsContext::builder().with_trust_store(trust).build();
        // ring instead of aws-lc, whose seeding takes 22 ms of CPU at the first handshake.
        Ok(Builder::new()
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .tls_context(context.map_err(|error| Error::CaBundle(error.to_string()))?)
            .build_https())
    }
}

/// Three attempts. The SDK's default backoff starts at one second; most throttling ends within 100 ms.
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
