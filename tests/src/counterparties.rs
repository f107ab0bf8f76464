//! The pairs of DynamoDB and KMS that the tests run against, each started when the first test asks
//! for it and shared by all that follow.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, anyhow, ensure};
use birthcert_local::bucket::{self, Files};
use birthcert_local::kms_process::KmsProcess;
use birthcert_local::state::REGION;
use dynoxide::Database;
use pki::hex;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::OnceCell;
use tokio::task::JoinHandle;

use crate::dynamodb_local::DynamoDbLocal;
use crate::ministack::Ministack;

/// A DynamoDB and a KMS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pair {
    /// What `birthcert-local` runs on: dynoxide and our stand-in for KMS.
    Local,
    /// AWS's own DynamoDB engine, and our stand-in for KMS.
    DynamoDbLocal,
    /// ministack for both, which shares no line with ours.
    Ministack,
}

/// What is running.
#[derive(Default)]
pub struct Counterparties {
    dynoxide: OnceCell<String>,
    kms: OnceCell<(KmsProcess, TempDir)>,
    dynamodb_local: OnceCell<DynamoDbLocal>,
    ministack: OnceCell<Ministack>,
}

impl Pair {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Local, Self::DynamoDbLocal, Self::Ministack];

    /// For the names of tests.
    pub fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::DynamoDbLocal => "dynamodb-local",
            Self::Ministack => "ministack",
        }
    }
}

impl Counterparties {
    /// The endpoints of a pair: DynamoDB's and KMS's.
    ///
    /// # Errors
    /// One of the two does not start.
    pub async fn endpoints(&self, pair: Pair) -> anyhow::Result<(String, String)> {
        Ok(match pair {
            Pair::Local => (self.dynoxide().await?, self.kms().await?),
            Pair::DynamoDbLocal => {
                let dynamodb = self.dynamodb_local.get_or_try_init(DynamoDbLocal::start).await?;
                (dynamodb.endpoint().to_owned(), self.kms().await?)
            }
            Pair::Ministack => {
                let both = self.ministack.get_or_try_init(Ministack::start).await?;
                (both.endpoint().to_owned(), both.endpoint().to_owned())
            }
        })
    }

    /// A new bucket, with its objects in `folder` where it is of our own stand-in.
    ///
    /// # Errors
    /// It cannot be made.
    pub async fn bucket(&self, pair: Pair, folder: &Path) -> anyhow::Result<Bucket> {
        let mut random = [0u8; 16];
        getrandom::fill(&mut random)?;
        let name = format!("birthcert-{}", hex(&random));
        if pair == Pair::Ministack {
            let both = self.ministack.get_or_try_init(Ministack::start).await?;
            let endpoint = both.endpoint().to_owned();
            let made = reqwest::Client::new().put(format!("{endpoint}/{name}")).send().await?;
            ensure!(made.status().is_success(), "{made:?}");
            return Ok(Bucket { endpoint, name, server: None });
        }
        let files = Arc::new(Files::open(folder)?);
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

/// A bucket of a test's own.
pub struct Bucket {
    /// The URL for `AWS_ENDPOINT_URL_S3`.
    pub endpoint: String,
    /// Its name.
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

/// A program of this workspace, from the same build as the tests.
///
/// # Errors
/// It was not built; the message is the line that does.
pub fn binary(name: &str) -> anyhow::Result<PathBuf> {
    let tests = std::env::current_exe()?;
    let found = tests.ancestors().map(|folder| folder.join(name)).find(|path| path.is_file());
    found.with_context(|| format!("{name} is not built; build it with: cargo build --workspace"))
}
