//! Signals from Ctrl-C and service managers.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use birthcert_tests::process::{is_closed, is_running, send_signal};
use birthcert_tests::stack::{START, Stack, spawn};
use futures_util::future::try_join;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::setup::works;

pub(super) fn tests() -> Vec<crate::suite::StandaloneTest> {
    crate::suite::standalone![
        a_signal_ends_it_in_order,
        a_signal_during_the_first_start_is_not_lost,
    ]
}

async fn a_signal_ends_it_in_order() -> anyhow::Result<()> {
    try_join(ends_in_order("INT", false), ends_in_order("TERM", true)).await.map(drop)
}

async fn ends_in_order(signal: &str, with_unfinished_request: bool) -> anyhow::Result<()> {
    let scratch = TempDir::new()?;
    let mut stack = Stack::start(scratch.path()).await?;
    // The API's client keeps its connection open.
    stack.new_device().await?;
    let mut unfinished = TcpStream::connect(stack.addresses()[0]).await?;
    if with_unfinished_request {
        unfinished.write_all(b"GET /identity HTTP/1.1\r\nhost:").await?;
    }
    let kms = stack.kms()?;

    stack.signal(signal).await?;
    let status = stack.ended().await?;
    ensure!(status.code() == Some(0), "SIG{signal}: {status}");
    ensure!(!is_running(kms), "its KMS outlived it");
    for address in stack.addresses() {
        ensure!(is_closed(address).await?, "{address} is still open");
    }
    let said = stack.stderr();
    ensure!(!said.contains("panicked") && !said.contains("birthcert-local: "), "{said}");
    Ok(())
}

async fn a_signal_during_the_first_start_is_not_lost() -> anyhow::Result<()> {
    let scratch = TempDir::new()?;
    for attempt in 0..10 {
        let data = scratch.path().join(attempt.to_string());
        let (mut child, logs) = spawn(&data, "127.0.0.1:0")?;
        let said = || fs::read_to_string(logs.path().join("stderr")).unwrap_or_default();
        let deadline = Instant::now() + START;
        while said().is_empty() {
            ensure!(Instant::now() < deadline, "it says nothing");
            sleep(Duration::from_millis(1)).await;
        }
        send_signal("TERM", child.id().context("it runs")?).await?;
        let in_time = !said().contains("is ready");
        let status = timeout(START, child.wait()).await.context("it went on")??;
        ensure!(status.success(), "{status}: {}", said());
        if in_time {
            return works(&data).await;
        }
    }
    bail!("each time the start was over before the signal came")
}
