//! The emulators of AWS that the tests run against. Each starts with the first test that needs it,
//! and is shared by all others.

use std::path::Path;
use std::sync::Arc;

use anyhow::{anyhow, ensure};
use birthcert_local::bucket::{self, Objects};
use birthcert_local::kms::KmsProcess;
use birthcert_local::stack::REGION;
use dynoxide::Database;
use pki::hex;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::OnceCell;
use tokio::task::JoinHandle;

use crate::aws::dynamodb_local::DynamoDbLocal;
use crate::aws::ministack::Ministack;
use crate::process::binary;

/// A pair of emulators, for DynamoDB and KMS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// dynoxide and our stand-in for KMS, as `birthcert-local` runs them.
    Local,
    /// AWS's own DynamoDB engine, and our stand-in for KMS.
    DynamoDbLocal,
    /// ministack for both, which shares no code with ours.
    Ministack,
}

/// The emulators that are running.
#[derive(Default)]
pub struct Emulators {
    dynoxide: OnceCell<String>,
    kms: OnceCell<(KmsProcess, TempDir)>,
    dynamodb_local: OnceCell<DynamoDbLocal>,
    ministack: OnceCell<Ministack>,
}

impl Backend {
    /// All backends.
    pub const ALL: [Self; 3] = [Self::Local, Self::DynamoDbLocal, Self::Ministack];

    /// Returns the name for use in test names.
    pub fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::DynamoDbLocal => "dynamodb-local",
            Self::Ministack => "ministack",
        }
    }
}

impl Emulators {
    /// Returns a backend's endpoints for DynamoDB and KMS.
    ///
    /// # Errors
    /// If an emulator does not start.
    pub async fn endpoints(&self, backend: Backend) -> anyhow::Result<(String, String)> {
        Ok(match backend {
            Backend::Local => (self.dynoxide().await?, self.kms().await?),
            Backend::DynamoDbLocal => {
                let dynamodb = self.dynamodb_local.get_or_try_init(DynamoDbLocal::start).await?;
                (dynamodb.endpoint().to_owned(), self.kms().await?)
            }
            Backend::Ministack => {
                let both = self.ministack.get_or_try_init(Ministack::start).await?;
                (both.endpoint().to_owned(), both.endpoint().to_owned())
            }
        })
    }

    /// Creates a bucket, with its objects in `folder` if our own stand-in serves it.
    ///
    /// # Errors
    /// If the bucket cannot be created.
    pub async fn bucket(&self, backend: Backend, folder: &Path) -> anyhow::Result<Bucket> {
        let mut random = [0u8; 16];
        getrandom::fill(&mut random)?;
        let name = format!("birthcert-{}", hex(&random));
        if backend == Backend::Ministack {
            let both = self.ministack.get_or_try_init(Ministack::start).await?;
            let endpoint = both.endpoint().to_owned();
            let made = reqwest::Client::new().put(format!("{endpoint}/{name}")).send().await?;
            ensure!(made.status().is_success(), "{made:?}");
            return Ok(Bucket { endpoint, name, server: None });
        }
        let files = Arc::new(Objects::open(folder)?);
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        let served = name.clone();
        let serve =
            async move { bucket::serve(listener, &served, files, std::future::pending()).await };
        Ok(Bucket { endpoint, name, server: Some(tokio::spawn(serve)) })
    }

    async fn dynoxide(&self) -> anyhow::Result<String> {
        let start = || async {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let endpoint = format!("http://{}", listener.local_addr()?);
            let database = Database::memory().map_err(|error| anyhow!("{error}"))?;
            tokio::spawn(dynoxide::server::serve_on(listener, database));
            Ok(endpoint)
        };
        self.dynoxide.get_or_try_init(start).await.cloned()
    }

    async fn kms(&self) -> anyhow::Result<String> {
        let start = || async {
            let data = TempDir::new()?;
            let program = binary("birthcert-local")?;
            anyhow::Ok((KmsProcess::start(&program, data.path(), REGION).await?, data))
        };
        Ok(self.kms.get_or_try_init(start).await?.0.url())
    }
}

/// A bucket for a single test.
pub struct Bucket {
    /// The URL for `AWS_ENDPOINT_URL_S3`.
    pub endpoint: String,
    /// The bucket's name.
    pub name: String,
    server: Option<JoinHandle<std::io::Result<()>>>,
}

impl Drop for Bucket {
    fn drop(&mut self) {
        if let Some(server) = &self.server {
            server.abort();
        }
    }
}
