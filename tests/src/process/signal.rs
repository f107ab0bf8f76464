//! Signals, and processes that are not children of the tests.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::ensure;
use tokio::time::sleep;

/// Sends a signal, such as `INT`, with the shell's own `kill`, which needs no package and no unsafe
/// code.
///
/// # Errors
/// If the process is gone.
pub async fn send_signal(name: &str, pid: u32) -> anyhow::Result<()> {
    let kill = format!("kill -{name} {pid}");
    let sent = tokio::process::Command::new("/bin/sh").args(["-c", &kill]).status().await?;
    ensure!(sent.success(), "{kill}: {sent}");
    Ok(())
}

/// Returns true if a process that is not our child is running.
pub fn is_running(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The state follows the name in parentheses. Z is a process that ended and was not reaped.
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// Waits until a process that is not our child has ended.
///
/// # Errors
/// If it runs for longer than `limit`.
pub async fn gone(pid: u32, limit: Duration) -> anyhow::Result<()> {
    let deadline = Instant::now() + limit;
    while is_running(pid) {
        ensure!(Instant::now() < deadline, "process {pid} still runs after {limit:?}");
        sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}
