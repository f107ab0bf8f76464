//! An authority for a single test: a table, two CAs and the API in front of them, on a backend that
//! it shares with other tests.

use std::sync::{Arc, Mutex};

use anyhow::{Context as _, ensure};
use aws_sdk_dynamodb::types::AttributeValue;
use birthcert_cli::ceremony;
use birthcert_cli::root::{KeyFilePassphrase, NewRoot, Root, RootKey, Subordinate};
use birthcert_local::gateway::{self, Functions};
use birthcert_local::stack::{CREDENTIAL, REGION};
use enroll::Enroll;
use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;
use identity::Identity;
use lambda::config::Config;
use lambda::runtime::Runtime;
use ledger::aws::{AwsConfig, Credentials};
use ledger::store::{NewToken, Policy, ProjectRecord, Store};
use pki::authority::{AuthorityName, AuthorityRecord, ChainCertificate, RootFingerprint, Roots};
use pki::clock::Timestamp;
use pki::csr::VerifiedCsr;
use pki::names::{ProjectId, TokenId};
use pki::profile::Usage;
use pki::token::EnrollmentToken;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::api::Api;
use crate::aws::emulators::{Backend, Bucket, Emulators};
use crate::aws::proxy::Proxy;

/// The passphrase of an [`Env`]'s root.
const PASSPHRASE: &str = "a passphrase for tests";

/// A year, in seconds.
pub const YEAR: u64 = 31_556_952;

/// Deviations from the usual authority.
#[derive(Clone)]
pub struct Setup {
    /// The clock of the functions.
    pub clock: fn() -> Timestamp,
    /// The project's policy.
    pub policy: Policy,
    /// Validity of the device CA, in seconds from now.
    pub device_ca_seconds: u64,
}

impl Default for Setup {
    fn default() -> Self {
        Self { clock: Timestamp::now, policy: Policy::default(), device_ca_seconds: 60 * YEAR }
    }
}

/// The authority. Dropping it stops its servers; the table stays in the emulator.
pub struct Env {
    /// The backend.
    pub backend: Backend,
    /// The proxy in front of DynamoDB.
    pub dynamodb: Proxy,
    /// The proxy in front of KMS.
    pub kms: Proxy,
    /// The proxy in front of S3.
    pub s3: Proxy,
    /// The table.
    pub store: Store,
    /// The configuration of the functions.
    pub config: Config,
    /// The same configuration without the proxies, for calls that a test does not examine.
    pub direct: Config,
    /// The root, in PEM.
    pub root_pem: String,
    /// The API.
    pub api: Api,
    /// A project.
    pub project: ProjectId,
    /// A token that enrolls devices into it.
    pub token: EnrollmentToken,
    /// A folder for the test's files.
    pub scratch: TempDir,
    gateway: JoinHandle<std::io::Result<()>>,
    _bucket: Bucket,
}

/// Every line that the functions of any test logged, which is searched for secrets.
static LOG: Mutex<String> = Mutex::new(String::new());

fn log(line: &str) {
    let mut log = LOG.lock().unwrap();
    log.push_str(line);
    log.push('\n');
}

impl Env {
    /// Starts an authority with the usual setup.
    ///
    /// # Errors
    /// If an emulator does not start, or the ceremony fails.
    pub async fn start(emulators: &Emulators, backend: Backend) -> anyhow::Result<Self> {
        Self::with(emulators, backend, Setup::default()).await
    }

    /// Starts an authority with another setup.
    ///
    /// # Errors
    /// As [`Env::start`].
    pub async fn with(
        emulators: &Emulators,
        backend: Backend,
        setup: Setup,
    ) -> anyhow::Result<Self> {
        let (dynamodb, kms) = emulators.endpoints(backend).await?;
        let endpoints = (dynamodb.clone(), kms.clone());
        let (dynamodb, kms) = (Proxy::start(&dynamodb).await?, Proxy::start(&kms).await?);
        let scratch = TempDir::new()?;
        let bucket = emulators.bucket(backend, &scratch.path().join("bucket")).await?;
        let s3 = Proxy::start(&bucket.endpoint).await?;
        let rng = &mut UnwrapErr(SysRng);
        let project = ProjectId::generate(rng);
        let config = Config {
            aws: AwsConfig {
                region: REGION.into(),
                credentials: Credentials::new(CREDENTIAL, CREDENTIAL, None, None, "tests"),
                endpoint_dynamodb: Some(dynamodb.endpoint().to_owned()),
                endpoint_kms: Some(kms.endpoint().to_owned()),
                endpoint_s3: Some(s3.endpoint().to_owned()),
                ca_bundle: None,
                http_client: None,
            },
            table_name: format!("birthcert-{project}"),
            bucket_name: Some(bucket.name.clone()),
            roots: Roots::default(),
        };
        let mut direct = config.clone();
        (direct.aws.endpoint_dynamodb, direct.aws.endpoint_kms) =
            (Some(endpoints.0), Some(endpoints.1));
        let store = Store::new(config.aws.dynamodb()?, &config.table_name);
        store.create_table().await?;

        let now = Timestamp::now();
        let directory = scratch.path().join("ca");
        let key = RootKey::make_file(&directory, KeyFilePassphrase::Random(PASSPHRASE))?;
        let root = Root::create(&directory, key, &NewRoot::lasting("Test root"), now)?;
        let authorities = [
            ("device", Usage::Device, setup.device_ca_seconds),
            ("server", Usage::Server, 60 * YEAR),
        ];
        for (name, usage, seconds) in authorities {
            let record = subordinate(&config, &root, name, usage, now, seconds).await?;
            ceremony::activate_first(&store, &config.aws.kms()?, record, now).await?;
        }
        let record = ProjectRecord {
            project_id: project,
            name: "test".parse()?,
            policy: setup.policy,
            created_at: now,
        };
        store.create_project(&record).await?;
        let token = EnrollmentToken::generate(project, TokenId::generate(rng), rng);
        store.create_token(&token, NewToken::default(), now).await?;

        let runtime = Runtime { clock: setup.clock, log };
        let functions = Arc::new(Functions {
            runtime,
            enroll: Enroll::start(&config, runtime).await?,
            identity: Identity::start(&config, runtime).await?,
            published: None,
        });
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let api = Api::new(format!("http://{}", listener.local_addr()?));
        let gateway = tokio::spawn(gateway::serve(listener, functions, std::future::pending()));
        let root_pem = root.certificate().pem().to_owned();
        // The ceremony's calls are not part of the test.
        dynamodb.take();
        kms.take();
        Ok(Self {
            backend,
            dynamodb,
            kms,
            s3,
            store,
            config,
            direct,
            root_pem,
            api,
            project,
            token,
            scratch,
            gateway,
            _bucket: bucket,
        })
    }

    /// Opens the root, with its key.
    ///
    /// # Errors
    /// If the root cannot be opened.
    pub fn root(&self) -> anyhow::Result<Root> {
        let directory = self.scratch.path().join("ca");
        Root::open(&directory, RootKey::open_file(&directory, PASSPHRASE)?)
    }

    /// Returns the SHA-256 fingerprint of the root's certificate, in hex.
    ///
    /// # Errors
    /// If the root is not a certificate.
    pub fn root_sha256(&self) -> anyhow::Result<String> {
        let root = ChainCertificate::from_pem(&self.root_pem).map_err(anyhow::Error::msg)?;
        Ok(RootFingerprint::of(root.der()).to_string())
    }

    /// Certifies a CA of this name, valid from now, without recording it.
    ///
    /// # Errors
    /// If KMS or the root refuses.
    pub async fn certified(&self, name: &str, seconds: u64) -> anyhow::Result<AuthorityRecord> {
        let root = self.root()?;
        let usage = name.parse::<AuthorityName>()?.usage();
        subordinate(&self.direct, &root, name, usage, Timestamp::now(), seconds).await
    }

    /// Checks that every signature that KMS gave since the last `take` is on record, for one of
    /// these devices or for a CRL.
    ///
    /// # Errors
    /// If a signature is not on record.
    pub async fn verify_signatures(&self, devices: &[crate::api::Enrolled]) -> anyhow::Result<()> {
        let mut digests = Vec::new();
        for device in devices {
            let entries = self.store.device_certificates(device.device_id).await?;
            digests.extend(entries.into_iter().map(|entry| entry.tbs_digest));
        }
        let client = self.config.aws.dynamodb()?;
        let crls = client.scan().table_name(&self.config.table_name);
        let crls = crls.filter_expression("begins_with(SK, :list)");
        let crls = crls.expression_attribute_values(":list", AttributeValue::S("LIST#".into()));
        let mut crls = crls.into_paginator().items().send();
        while let Some(crl) = crls.next().await {
            digests.extend(crl?.get("tbs_digest").and_then(|it| it.as_s().ok()).cloned());
        }
        for call in self.kms.take() {
            if let Some(digest) = call.signed_digest() {
                ensure!(digests.contains(&digest), "{digest} was signed and is not on the ledger");
            }
        }
        Ok(())
    }

    /// Checks what [`Env::verify_signatures`] checks, and that the functions in this process logged no secret
    /// of these devices.
    ///
    /// # Errors
    /// If a signature is not on record, or a secret was logged.
    pub async fn verify_ledger(&self, devices: &[crate::api::Enrolled]) -> anyhow::Result<()> {
        self.verify_signatures(devices).await?;
        let log = LOG.lock().unwrap();
        ensure!(!log.is_empty(), "the functions logged nothing, so no secret could be found");
        let tokens = devices.iter().map(|device| device.device_token.as_str());
        for token in tokens.chain([self.token.expose().as_str()]) {
            // The secret alone is as sensitive as the whole token.
            let secret = token.get(47..90).context("no token")?;
            ensure!(!log.contains(secret), "a token was logged");
        }
        ensure!(!log.contains("PRIVATE KEY"), "a private key was logged");
        Ok(())
    }
}

impl Drop for Env {
    fn drop(&mut self) {
        self.gateway.abort();
    }
}

/// Certifies a subordinate CA, without activating it.
///
/// # Errors
/// If KMS or the root refuses.
pub async fn subordinate(
    config: &Config,
    root: &Root,
    name: &str,
    usage: Usage,
    now: Timestamp,
    seconds: u64,
) -> anyhow::Result<AuthorityRecord> {
    let kms = config.aws.kms()?;
    let key_arn =
        ceremony::ensure_key(&kms, &format!("alias/{}-{name}", config.table_name)).await?;
    let common_name = format!("Test {name} CA");
    let request = ceremony::request(&kms, key_arn, &common_name, None).await?;
    let csr = VerifiedCsr::from_pem(&request.csr_pem).map_err(anyhow::Error::msg)?;
    let subordinate = Subordinate {
        common_name: &common_name,
        organization: None,
        usage,
        not_after: now.plus(seconds),
        root_crl_url: None,
    };
    Ok(AuthorityRecord {
        name: name.parse()?,
        key_arn: request.key_arn,
        certificate_pem: root.certify(&csr, &subordinate, now)?,
        intermediates_pem: None,
        root_pem: root.certificate().pem().to_owned(),
        crl_url: Some(format!("http://crl.example.com/{name}.crl")),
        created_at: now,
    })
}
