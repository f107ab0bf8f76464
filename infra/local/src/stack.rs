//! Everything together: what `birthcert-local serve` runs.

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
use crl::Crl;
use enroll::Enroll;
use identity::Identity;
use lambda::{config::Config, runtime::Runtime, stream::Trigger};
use ledger::{
    aws::{AwsConfig, Credentials},
    store::Store,
};
use pki::{authority::Roots, clock::Timestamp};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::watch,
    time::timeout,
};

use crate::{
    bootstrap::{Ready, bootstrap},
    bucket::{self, Files},
    database,
    gateway::{self, Functions},
    kms_process::KmsProcess,
    state::{BUCKET, CREDENTIAL, REGION, State, TABLE},
    stream,
};

/// How long requests may take to finish once the stack is told to stop.
const GRACE: Duration = Duration::from_secs(5);

/// Runs the stack in `data` until SIGINT or SIGTERM.
///
/// # Errors
/// When a part of it cannot start, or ends by itself.
pub async fn serve(listen: SocketAddr, data: &Path) -> anyhow::Result<()> {
    // First, so that a signal during the ceremony is not lost.
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut terminated = signal(SignalKind::terminate())?;
    ensure_private_directory(data)?;
    let data = &fs::canonicalize(data)?;
    let _lock = lock(data)?;
    let listener = gateway::listen(listen).await?;
    eprintln!("birthcert-local is for development: its CA keys are files in {}", data.display());

    let (stop, stopped) = watch::channel(());
    let stopping = |mut stopped: watch::Receiver<()>| async move {
        let _ = stopped.changed().await;
    };

    let database = database::open(data)?;
    let dynamodb = TcpListener::bind("127.0.0.1:0").await?;
    let aws_endpoint_url_dynamodb = format!("http://{}", dynamodb.local_addr()?);
    let until = stopping(stopped.clone());
    let dynamodb = tokio::spawn(dynoxide::server::serve_with_shutdown(dynamodb, database, until));

    let files = Arc::new(Files::open(&data.join("bucket"))?);
    let s3 = TcpListener::bind("127.0.0.1:0").await?;
    let aws_endpoint_url_s3 = format!("http://{}", s3.local_addr()?);
    let until = stopping(stopped.clone());
    let served = files.clone();
    let s3 = tokio::spawn(async move { bucket::serve(s3, BUCKET, served, until).await });

    let mut kms = KmsProcess::start(&env::current_exe()?, &data.join("kms"), REGION).await?;

    let mut config = Config {
        aws: AwsConfig {
            region: REGION.into(),
            credentials: Credentials::new(CREDENTIAL, CREDENTIAL, None, None, "birthcert-local"),
            endpoint_dynamodb: Some(aws_endpoint_url_dynamodb.clone()),
            endpoint_kms: Some(kms.url()),
            endpoint_s3: Some(aws_endpoint_url_s3.clone()),
            ca_bundle: None,
        },
        table_name: TABLE.into(),
        bucket_name: Some(BUCKET.into()),
        roots: Roots::default(),
    };
    let store = Store::new(config.aws.dynamodb()?, TABLE);
    let ready =
        bootstrap(data, &store, &config.aws.kms()?, &crl_address(listen), Timestamp::now()).await?;
    config.roots = ready.roots;
    database::keep(data)?;
    let functions = Arc::new(Functions {
        world: Runtime::LAMBDA,
        enroll: Enroll::start(&config, Runtime::LAMBDA).await?,
        identity: Identity::start(&config, Runtime::LAMBDA).await?,
        published: Some(files),
    });
    let crl = Crl::start(&config, Runtime::LAMBDA).await?;
    // What came due while the stack was down. What fails is in the log, and is tried again.
    let _ = crl.pass(&Trigger::Time).await;

    let Ready { project_id, enrollment_token, root_certificate, .. } = ready;
    let state = State {
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
    state.write(data)?;
    eprintln!("{} is ready; {}", state.api_url, data.join("local.json").display());

    let publisher = tokio::spawn(stream::follow(store, crl, stopping(stopped.clone())));
    let api = tokio::spawn(gateway::serve(listener, functions, stopping(stopped)));
    let outcome = tokio::select! {
        _ = interrupted.recv() => Ok(()),
        _ = terminated.recv() => Ok(()),
        () = kms.ended() => Err(anyhow!("the KMS stand-in ended by itself")),
    };
    // In the order of who calls whom, so that what is under way can finish.
    let _ = stop.send(());
    let _ = timeout(GRACE, api).await;
    let _ = timeout(GRACE, publisher).await;
    let _ = timeout(GRACE, s3).await;
    let _ = timeout(GRACE, dynamodb).await;
    kms.stop().await;
    outcome
}

/// Where the CAs' lists are found for as long as their certificates live: here, if the stack is told to
/// be there at every start; else a name that means nothing anywhere.
fn crl_address(listen: SocketAddr) -> String {
    match listen.port() {
        0 => "http://birthcert.invalid".into(),
        _ if listen.ip().is_unspecified() => "http://birthcert.invalid".into(),
        _ => format!("http://{listen}"),
    }
}

/// Two stacks in one directory would tear each other's files.
fn lock(data: &Path) -> anyhow::Result<File> {
    let file = File::create(data.join("lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            bail!("another birthcert-local runs in {}", data.display())
        }
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}
