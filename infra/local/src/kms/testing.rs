//! A running stand-in for tests, with a client of the AWS SDK.

use std::path::Path;

use aws_sdk_kms::{
    Client,
    config::{BehaviorVersion, Credentials, Region, retry::RetryConfig},
    error::{ProvideErrorMetadata, SdkError},
    primitives::Blob,
    types::{KeySpec, KeyUsageType, MessageType, SigningAlgorithmSpec},
};
use p256::{ecdsa::VerifyingKey, pkcs8::DecodePublicKey};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
};

use super::{journal, server::Kms};

/// A stand-in that listens on a free loopback port.
pub(super) struct TestKms {
    pub(super) client: Client,
    address: String,
    stop: oneshot::Sender<()>,
    server: JoinHandle<anyhow::Result<()>>,
}

impl TestKms {
    pub(super) async fn start(directory: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (stop, stopped) = oneshot::channel();
        let shutdown = async { drop(stopped.await) };
        let kms = Kms::open(directory.to_owned(), "eu-west-1".to_owned());
        let server = async move { Ok(kms.await?.serve(listener, shutdown).await?) };
        let config = aws_sdk_kms::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-west-1"))
            .endpoint_url(format!("http://{address}"))
            .credentials_provider(Credentials::new("id", "secret", None, None, "test"))
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .retry_config(RetryConfig::disabled())
            .build();
        let client = Client::from_conf(config);
        Self { client, address, stop, server: tokio::spawn(server) }
    }

    /// Shuts down gracefully, which must not wait for idle connections of the client.
    pub(super) async fn stop(self) {
        self.stop.send(()).unwrap();
        self.server.await.unwrap().unwrap();
    }

    /// Creates a key and returns its ID.
    pub(super) async fn create_key(&self) -> String {
        let request = self.client.create_key();
        let request = request.key_spec(KeySpec::EccNistP256).key_usage(KeyUsageType::SignVerify);
        request.send().await.unwrap().key_metadata.unwrap().key_id
    }

    pub(super) async fn public_key(&self, key_id: &str) -> VerifyingKey {
        let response = self.client.get_public_key().key_id(key_id).send().await.unwrap();
        VerifyingKey::from_public_key_der(response.public_key.unwrap().as_ref()).unwrap()
    }

    /// Returns a signature, or the error code from the AWS SDK.
    pub(super) async fn sign(
        &self,
        key_id: &str,
        message_type: MessageType,
        message: &[u8],
    ) -> Result<Vec<u8>, String> {
        let request = self.client.sign().key_id(key_id).message(Blob::new(message));
        let request = request.message_type(message_type);
        let response = request.signing_algorithm(SigningAlgorithmSpec::EcdsaSha256).send().await;
        match response {
            Ok(response) => Ok(response.signature.unwrap().into_inner()),
            Err(error) => Err(error.code().unwrap().to_owned()),
        }
    }

    /// Sends a raw request that the SDK would not send. Returns the status, the head and the body.
    pub(super) async fn request(&self, head: &str, body: &str) -> (u16, String, String) {
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        let length = body.len();
        let request = format!(
            "{head}\r\nHost: kms\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).await.unwrap();
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        (head[9..12].parse().unwrap(), head.to_lowercase(), body.to_owned())
    }

    /// Sends a raw request for an operation. Returns the status and the JSON body, if there is one.
    pub(super) async fn post(&self, operation: &str, body: &str) -> (u16, Value) {
        let head = format!(
            "POST / HTTP/1.1\r\nAuthorization: AWS4-HMAC-SHA256\r\nX-Amz-Target: TrentService.{operation}"
        );
        let (status, _, body) = self.request(&head, body).await;
        (status, serde_json::from_str(&body).unwrap_or_default())
    }

    /// Returns the exception of an operation that fails.
    pub(super) async fn refusal(&self, operation: &str, body: &str) -> String {
        let (status, body) = self.post(operation, body).await;
        assert_eq!(status, 400, "{body}");
        body["__type"].as_str().unwrap().to_owned()
    }
}

/// Returns the error code from the AWS SDK.
pub(super) fn error_code<T, E: ProvideErrorMetadata>(outcome: Result<T, SdkError<E>>) -> String {
    outcome.err().unwrap().code().unwrap().to_owned()
}

/// Returns the parsed lines of the journal.
pub(super) fn journal_lines(directory: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(directory.join(journal::FILE)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
