//! The whole stack: `birthcert-local serve`.

mod bootstrap;
mod crl_trigger;
mod database;
mod info;

pub use info::{CREDENTIAL, REGION, StackInfo};

use std::{
    env,
    fs::{self, File, TryLockError},
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::Duration,
};

use anyhow::{anyhow, bail};
use birthcert_cli::ensure_private_directory;
use crl::Publisher;
use enroll::Enroll;
use identity::Identity;
use lambda::{config::Config, runtime::Runtime, stream::Trigger};
use ledger::{
    aws::{AwsConfig, Credentials},
    store::Store,
};
use pki::{authority::Roots, clock::Timestamp};
use tokio::{net::TcpListener, sync::watch, time::timeout};

use self::{
    bootstrap::{Bootstrapped, bootstrap},
    info::{BUCKET, TABLE},
};
use crate::{
    bucket::{self, Objects},
    gateway::{self, Functions},
    kms::KmsProcess,
    signals::ShutdownSignals,
};

/// The time that each part has to finish open requests during shutdown.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

/// Runs the stack in `data` until SIGINT or SIGTERM.
///
/// # Errors
/// If a part of the stack does not start, or the stand-in for KMS ends unexpectedly.
pub(crate) async fn serve(listen: SocketAddr, data: &Path) -> anyhow::Result<()> {
    // First, so that a signal during the ceremony is not lost.
    let mut signals = ShutdownSignals::install()?;
    ensure_private_directory(data)?;
    let data = &fs::canonicalize(data)?;
    let _lock = lock(data)?;
    let listener = gateway::listen(listen).await?;
    eprintln!(
        "birthcert-local is for development only: its CA keys are files in {}",
        data.display()
    );

    let (stop, stopped) = watch::channel(());
    let stopping = |mut stopped: watch::Receiver<()>| async move {
        let _ = stopped.changed().await;
    };

    let database = database::open(data)?;
    let dynamodb = TcpListener::bind("127.0.0.1:0").await?;
    let aws_endpoint_url_dynamodb = format!("http://{}", dynamodb.local_addr()?);
    let shutdown = stopping(stopped.clone());
    let dynamodb =
        tokio::spawn(dynoxide::server::serve_with_shutdown(dynamodb, database, shutdown));

    let objects = Arc::new(Objects::open(&data.join("bucket"))?);
    let s3 = TcpListener::bind("127.0.0.1:0").await?;
    let aws_endpoint_url_s3 = format!("http://{}", s3.local_addr()?);
    let shutdown = stopping(stopped.clone());
    let served = objects.clone();
    let s3 = tokio::spawn(async move { bucket::serve(s3, BUCKET, served, shutdown).await });

    let mut kms = KmsProcess::start(&env::current_exe()?, &data.join("kms"), REGION).await?;

    let mut config = Config {
        aws: AwsConfig {
            region: REGION.into(),
            credentials: Credentials::new(CREDENTIAL, CREDENTIAL, None, None, "birthcert-local"),
            endpoint_dynamodb: Some(aws_endpoint_url_dynamodb.clone()),
            endpoint_kms: Some(kms.url()),
            endpoint_s3: Some(aws_endpoint_url_s3.clone()),
            ca_bundle: None,
            http_client: None,
        },
        table_name: TABLE.into(),
        bucket_name: Some(BUCKET.into()),
        roots: Roots::default(),
    };
    let store = Store::new(config.aws.dynamodb()?, TABLE);
    let bootstrapped =
        bootstrap(data, &store, &config.aws.kms()?, &crl_address(listen), Timestamp::now()).await?;
    config.roots = bootstrapped.roots;
    database::keep(data)?;
    let functions = Arc::new(Functions {
        runtime: Runtime::LAMBDA,
        enroll: Enroll::start(&config, Runtime::LAMBDA).await?,
        identity: Identity::start(&config, Runtime::LAMBDA).await?,
        published: Some(objects),
    });
    let crl = Publisher::start(&config, Runtime::LAMBDA).await?;
    // Publishes what came due while the stack was down. Failures are logged and retried later.
    let _ = crl.publish_due(&Trigger::Schedule).await;

    let Bootstrapped { project_id, enrollment_token, root_certificate, .. } = bootstrapped;
    let info = StackInfo {
        api_url: format!("http://{}", listener.local_addr()?),
        project_id: project_id.to_string(),
        enrollment_token,
        root_certificate,
        table_name: TABLE.into(),
        region: REGION.into(),
        aws_endpoint_url_dynamodb,
        aws_endpoint_url_kms: kms.url(),
        aws_endpoint_url_s3,
        bucket_name: BUCKET.into(),
    };
    info.write(data)?;
    eprintln!("{} is ready; {}", info.api_url, data.join("local.json").display());

    let crl_trigger = tokio::spawn(crl_trigger::run(store, crl, stopping(stopped.clone())));
    let api = tokio::spawn(gateway::serve(listener, functions, stopping(stopped)));
    let outcome = tokio::select! {
        () = signals.received() => Ok(()),
        () = kms.ended() => Err(anyhow!("the KMS stand-in ended unexpectedly")),
    };
    // Clients stop before the parts that they call, so that open requests can finish.
    let _ = stop.send(());
    let _ = timeout(SHUTDOWN_TIMEOUT, api).await;
    let _ = timeout(SHUTDOWN_TIMEOUT, crl_trigger).await;
    let _ = timeout(SHUTDOWN_TIMEOUT, s3).await;
    let _ = timeout(SHUTDOWN_TIMEOUT, dynamodb).await;
    kms.stop().await;
    outcome
}

/// Returns the base URL of the CRL distribution points, which are in every certificate: the address of
/// this stack if it is the same at every start, otherwise a name that never resolves.
fn crl_address(listen: SocketAddr) -> String {
    match listen.port() {
        0 => "http://birthcert.invalid".into(),
        _ if listen.ip().is_unspecified() => "http://birthcert.invalid".into(),
        _ => format!("http://{listen}"),
    }
}

/// Locks the directory: two stacks in it would corrupt their files.
fn lock(data: &Path) -> anyhow::Result<File> {
    let file = File::create(data.join("lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            bail!(
                "another birthcert-local runs in {}: stop it or choose another directory with --data",
                data.display()
            )
        }
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}
