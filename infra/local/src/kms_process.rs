//! The stand-in for KMS as a process of its own: like the real one, it does not share memory with
//! what asks it for signatures.

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

use crate::kms::Kms;

/// The process, which ends when this is dropped, or when this process ends in whatever way: it
/// watches its standard input.
pub struct KmsProcess {
    child: Child,
    lifeline: Option<ChildStdin>,
    address: SocketAddr,
}

impl KmsProcess {
    /// Starts it on a free loopback port, with its keys in `data`.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start(program: &Path, data: &Path, region: &str) -> anyhow::Result<Self> {
        let mut child = Command::new(program)
            .args(["kms", "--region", region, "--data"])
            .arg(data)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            // A Ctrl-C in the terminal is for the parent, which still has requests to finish.
            .process_group(0)
            .spawn()
            .context("cannot start the KMS stand-in")?;
        let lifeline = child.stdin.take();
        let stdout = child.stdout.take().context("the KMS stand-in has no standard output")?;
        let mut first_line = String::new();
        timeout(Duration::from_secs(10), BufReader::new(stdout).read_line(&mut first_line))
            .await
            .context("the KMS stand-in did not come up within 10 s")??;
        let address = first_line.trim().parse().context("the KMS stand-in did not come up")?;
        Ok(Self { child, lifeline, address })
    }

    /// Where it listens.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Waits for it to end by itself, which it should not.
    pub async fn ended(&mut self) {
        let _ = self.child.wait().await;
    }

    /// Ends it.
    pub async fn stop(mut self) {
        drop(self.lifeline.take());
        if timeout(Duration::from_secs(3), self.child.wait()).await.is_err() {
            let _ = self.child.kill().await;
        }
    }
}

/// What the process does: it serves, says where in its first line, and ends with its standard input
/// or on SIGTERM.
///
/// # Errors
/// When it cannot serve.
pub async fn main(data: PathBuf, region: String) -> anyhow::Result<()> {
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
