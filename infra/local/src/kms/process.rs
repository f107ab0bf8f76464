//! The stand-in for KMS in a separate process: like the real KMS, it shares no memory with its
//! clients.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::Context;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    net::TcpListener,
    process::{Child, ChildStdin, Command},
    signal::unix::{SignalKind, signal},
    time::timeout,
};

use super::server::Kms;

/// A child process that runs the stand-in.
///
/// The child ends when this handle is dropped. It also watches its standard input, so it ends with
/// this process even after a crash.
pub struct KmsProcess {
    child: Child,
    lifeline: Option<ChildStdin>,
    address: SocketAddr,
}

impl KmsProcess {
    /// Starts `program` as the stand-in on a free loopback port, with its keys in `data`.
    ///
    /// # Errors
    /// If the process does not start, or does not listen within 10 seconds.
    pub async fn start(program: &Path, data: &Path, region: &str) -> anyhow::Result<Self> {
        let mut child = Command::new(program)
            .args(["kms", "--region", region, "--data"])
            .arg(data)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            // Ctrl-C in the terminal must not reach the child: the parent still has requests to finish.
            .process_group(0)
            .spawn()
            .context("cannot start the KMS stand-in")?;
        let lifeline = child.stdin.take();
        let stdout = child.stdout.take().context("the KMS stand-in has no standard output")?;
        let mut first_line = String::new();
        timeout(Duration::from_secs(10), BufReader::new(stdout).read_line(&mut first_line))
            .await
            .context("the KMS stand-in did not start within 10 s")??;
        let address = first_line.trim().parse().context("the KMS stand-in did not start")?;
        Ok(Self { child, lifeline, address })
    }

    /// Returns the URL of the endpoint.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Waits until the process ends unexpectedly.
    pub async fn ended(&mut self) {
        let _ = self.child.wait().await;
    }

    /// Stops the process.
    pub async fn stop(mut self) {
        drop(self.lifeline.take());
        if timeout(Duration::from_secs(3), self.child.wait()).await.is_err() {
            let _ = self.child.kill().await;
        }
    }
}

/// Runs the stand-in in this process.
///
/// The first line on standard output is the address it listens on. It ends on SIGTERM, or when its
/// standard input is closed.
///
/// # Errors
/// If `data` cannot be opened, or the listener fails.
pub(crate) async fn run(data: PathBuf, region: String) -> anyhow::Result<()> {
    let kms = Kms::open(data, region).await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    let mut terminated = signal(SignalKind::terminate())?;
    let shutdown = async move {
        let mut stdin = tokio::io::stdin();
        let mut rest = [0u8; 64];
        let parent_ended = async { while matches!(stdin.read(&mut rest).await, Ok(n) if n > 0) {} };
        tokio::select! {
            () = parent_ended => {}
            _ = terminated.recv() => {}
        }
    };
    Ok(kms.serve(listener, shutdown).await?)
}
