//! `birthcert-local serve`, run as developers run it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use birthcert_local::stack::{CREDENTIAL, StackInfo};
use lambda::config::Config;
use ledger::aws::{AwsConfig, Credentials};
use ledger::store::Store;
use pki::authority::{AuthorityRecord, Roots};
use pki::names::ProjectId;
use pki::token::EnrollmentToken;
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use crate::api::{Api, Enrolled, Released};
use crate::process::metadata::inode;
use crate::process::{binary, gone, send_signal};
use crate::verifiers::openssl::{self, Purpose, Verdict};

/// Generous, for machines that compile at the same time.
pub const START: Duration = Duration::from_secs(60);
/// The longest acceptable wait after Ctrl-C.
const STOP: Duration = Duration::from_secs(10);

/// A running `birthcert-local serve`. Dropping it kills it, which ends its KMS process too.
pub struct Stack {
    child: Child,
    /// The process id.
    pub pid: u32,
    /// The content of `local.json`.
    pub state: StackInfo,
    /// The data directory.
    pub data: PathBuf,
    /// A client of the API.
    pub api: Api,
    logs: TempDir,
}

impl Stack {
    /// Starts a stack in `data` and waits until it is ready.
    ///
    /// # Errors
    /// If it is not built, or not ready in time.
    pub async fn start(data: &Path) -> anyhow::Result<Self> {
        let before = inode(&data.join("local.json"));
        let (mut child, logs) = spawn(data, "127.0.0.1:0")?;
        let pid = child.id().context("it runs")?;
        let read = |name: &str| fs::read_to_string(logs.path().join(name)).unwrap_or_default();
        let deadline = Instant::now() + START;
        let state = loop {
            if let Some(status) = child.try_wait()? {
                bail!("it ended: {status}: {}", read("stderr"));
            }
            // Each start replaces the file of the last one.
            let now = inode(&data.join("local.json"));
            if now.is_some() && now != before {
                break StackInfo::read(data)?;
            }
            ensure!(Instant::now() < deadline, "not ready within {START:?}: {}", read("stderr"));
            sleep(Duration::from_millis(5)).await;
        };
        let api = Api::new(state.api_url.clone());
        let stack = Self { child, pid, state, data: data.to_owned(), api, logs };
        stack.api.enroll("").await?.problem(401, "invalid-enrollment-token", &[])?;
        Ok(stack)
    }

    /// Returns the standard output so far: the log.
    ///
    /// # Panics
    /// If the file is gone.
    pub fn stdout(&self) -> String {
        fs::read_to_string(self.logs.path().join("stdout")).unwrap()
    }

    /// Returns the standard error so far.
    ///
    /// # Panics
    /// If the file is gone.
    pub fn stderr(&self) -> String {
        fs::read_to_string(self.logs.path().join("stderr")).unwrap()
    }

    /// Returns the enrollment token of the first start.
    ///
    /// # Panics
    /// If it is not valid.
    pub fn token(&self) -> EnrollmentToken {
        EnrollmentToken::parse(&self.state.enrollment_token).expect("a token")
    }

    /// Returns the project of the first start.
    ///
    /// # Panics
    /// If it is not valid.
    pub fn project(&self) -> ProjectId {
        self.state.project_id.parse().expect("a project")
    }

    /// Returns the configuration that a function on this stack would have.
    pub fn config(&self, table: &str) -> Config {
        Config {
            aws: AwsConfig {
                region: self.state.region.clone(),
                credentials: Credentials::new(CREDENTIAL, CREDENTIAL, None, None, "tests"),
                endpoint_dynamodb: Some(self.state.aws_endpoint_url_dynamodb.clone()),
                endpoint_kms: Some(self.state.aws_endpoint_url_kms.clone()),
                endpoint_s3: Some(self.state.aws_endpoint_url_s3.clone()),
                ca_bundle: None,
                http_client: None,
            },
            table_name: table.to_owned(),
            bucket_name: Some(self.state.bucket_name.clone()),
            roots: Roots::default(),
        }
    }

    /// Returns a table of the stack's DynamoDB.
    ///
    /// # Errors
    /// If the client cannot be created.
    pub fn store(&self, table: &str) -> anyhow::Result<Store> {
        Ok(Store::new(self.config(table).aws.dynamodb()?, table))
    }

    /// Returns the table that the stack serves.
    ///
    /// # Errors
    /// As [`Stack::store`].
    pub fn own_store(&self) -> anyhow::Result<Store> {
        self.store(&self.state.table_name)
    }

    /// Returns the record of one of the stack's own CAs.
    ///
    /// # Errors
    /// If there is no such CA.
    pub async fn authority(&self, name: &str) -> anyhow::Result<AuthorityRecord> {
        self.own_store()?.authority(name).await?.with_context(|| format!("no CA {name}"))
    }

    /// Returns every digest that KMS signed, in order.
    ///
    /// # Errors
    /// If the journal is missing or damaged.
    fn signed_digests(&self) -> anyhow::Result<Vec<String>> {
        let journal = fs::read_to_string(self.data.join("kms/signatures.jsonl"))?;
        let digest = |line: &str| {
            let line: Value = serde_json::from_str(line)?;
            Ok(line["digest"].as_str().context("no digest")?.to_owned())
        };
        journal.lines().map(digest).collect()
    }

    /// Returns every digest that KMS signed, except those of CRLs, which are published at times of
    /// their own.
    ///
    /// # Errors
    /// As `signed_digests` and [`Stack::ledger_digests`].
    pub async fn signed_except_crls(&self) -> anyhow::Result<Vec<String>> {
        // In this order: a CRL is on record before it is signed.
        let mut signed = self.signed_digests()?;
        let lists = self.recorded("LIST#").await?;
        signed.retain(|digest| !lists.contains(digest));
        Ok(signed)
    }

    /// Returns the digests of the devices' and servers' certificates on record.
    ///
    /// # Errors
    /// If DynamoDB is unavailable, or an entry has no digest.
    pub async fn ledger_digests(&self) -> anyhow::Result<Vec<String>> {
        self.recorded("CERT#").await
    }

    async fn recorded(&self, kind: &str) -> anyhow::Result<Vec<String>> {
        let mut digests = Vec::new();
        let client = self.config("").aws.dynamodb()?;
        let pages = client.scan().table_name(&self.state.table_name).into_paginator();
        let mut items = pages.items().send();
        while let Some(item) = items.next().await {
            let item = item?;
            let text = |name: &str| item.get(name).and_then(|value| value.as_s().ok());
            if text("SK").context("no SK")?.starts_with(kind) {
                digests.push(text("tbs_digest").context("no digest")?.to_owned());
            }
        }
        Ok(digests)
    }

    /// Returns the child processes: the KMS.
    fn children(&self) -> anyhow::Result<Vec<u32>> {
        let mut children = Vec::new();
        for thread in fs::read_dir(format!("/proc/{}/task", self.pid))? {
            let list = fs::read_to_string(thread?.path().join("children"))?;
            for pid in list.split_whitespace() {
                children.push(pid.parse()?);
            }
        }
        Ok(children)
    }

    /// Returns the process id of the KMS.
    ///
    /// # Errors
    /// If the number of children is not one.
    pub fn kms(&self) -> anyhow::Result<u32> {
        match self.children()?[..] {
            [kms] => Ok(kms),
            ref children => bail!("one child expected: {children:?}"),
        }
    }

    /// Returns the addresses of the API, DynamoDB, KMS and S3.
    ///
    /// # Panics
    /// If one is not an http URL.
    pub fn addresses(&self) -> [&str; 4] {
        let StackInfo {
            api_url,
            aws_endpoint_url_dynamodb,
            aws_endpoint_url_kms,
            aws_endpoint_url_s3,
            ..
        } = &self.state;
        [api_url, aws_endpoint_url_dynamodb, aws_endpoint_url_kms, aws_endpoint_url_s3]
            .map(|url| url.strip_prefix("http://").expect("an http URL"))
    }

    /// Enrolls a device and checks its identity.
    ///
    /// # Errors
    /// If a request is refused, or the identity is not right.
    pub async fn new_device(&self) -> anyhow::Result<(Enrolled, Released)> {
        self.new_device_with(&self.state.enrollment_token).await
    }

    /// As [`Stack::new_device`], with another enrollment token.
    ///
    /// # Errors
    /// As [`Stack::new_device`].
    pub async fn new_device_with(&self, token: &str) -> anyhow::Result<(Enrolled, Released)> {
        let device: Enrolled = self.api.enroll(token).await?.success()?;
        let identity = self.api.released(&device).await?;
        self.check(&device, &identity).await?;
        Ok((device, identity))
    }

    /// Checks that `identity` belongs to `device` and verifies up to the root.
    ///
    /// # Errors
    /// If it does not.
    pub async fn check(&self, device: &Enrolled, identity: &Released) -> anyhow::Result<()> {
        ensure!(identity.device_id == device.device_id);
        ensure!(identity.ca_certificate_pem == fs::read_to_string(&self.state.root_certificate)?);
        let subordinate = self.authority("device").await?.certificate_pem;
        let leaf = &identity.device_certificate_pem;
        ensure!(identity.certificate_chain_pem == format!("{leaf}{subordinate}"));
        let root = &identity.ca_certificate_pem;
        let verdict = openssl::verify(leaf, &subordinate, root, Purpose::Client).await?;
        ensure!(verdict == Verdict::Accepted, "{verdict:?}");
        Ok(())
    }

    /// Sends a signal, such as `INT`.
    ///
    /// # Errors
    /// If the stack is gone.
    pub async fn signal(&self, name: &str) -> anyhow::Result<()> {
        send_signal(name, self.pid).await
    }

    /// Waits until the stack ends, within `STOP`; returns its exit status.
    ///
    /// # Errors
    /// If it continues.
    pub async fn ended(&mut self) -> anyhow::Result<ExitStatus> {
        let ended = timeout(STOP, self.child.wait()).await;
        Ok(ended.with_context(|| format!("it did not end within {STOP:?}"))??)
    }

    /// Stops the stack as Ctrl-C does.
    ///
    /// # Errors
    /// If it does not end, or reports a failure.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.signal("INT").await?;
        let status = self.ended().await?;
        ensure!(status.success(), "{status}: {}", self.stderr());
        Ok(())
    }

    /// Kills the stack, as a crash does, and waits until its KMS ended.
    ///
    /// # Errors
    /// If its KMS continues.
    pub async fn kill(mut self) -> anyhow::Result<()> {
        let kms = self.kms()?;
        self.child.kill().await?;
        gone(kms, STOP).await
    }
}

/// Starts `serve`, with its output in the files `stdout` and `stderr` of a folder.
///
/// # Errors
/// If it is not built.
pub fn spawn(data: &Path, listen: &str) -> anyhow::Result<(Child, TempDir)> {
    let logs = TempDir::new()?;
    let child = Command::new(binary("birthcert-local")?)
        .args(["serve", "--listen", listen, "--data"])
        // Whatever a library could log, the tests that search for secrets see.
        .env("RUST_LOG", "trace")
        .arg(data)
        .stdin(Stdio::null())
        .stdout(File::create(logs.path().join("stdout"))?)
        .stderr(File::create(logs.path().join("stderr"))?)
        .kill_on_drop(true)
        .spawn()?;
    Ok((child, logs))
}

/// Returns the standard error of a `serve` that fails to start.
///
/// # Errors
/// If it starts, or ends in another way.
pub async fn refused(data: &Path, listen: &str) -> anyhow::Result<String> {
    let (mut child, logs) = spawn(data, listen)?;
    let status = timeout(START, child.wait()).await.context("it did not end")??;
    ensure!(status.code() == Some(1), "{status}");
    Ok(fs::read_to_string(logs.path().join("stderr"))?)
}
