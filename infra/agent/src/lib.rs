//! The agent that runs beside a broker and keeps revoked devices out.
//!
//! - `published`: polls the published CRLs, certificates and deny lists.
//! - `trust`: accepts only what is signed under a pinned root, and nothing older than what it has.
//! - `disk`: stores accepted documents and the broker's files.
//! - `brokers`: brings a broker in line with them.
//! - `report`: the log, `status.json`, the HTTP status server and systemd.
//!
//! This is a crate of its own because it runs on every broker's machine: it has no credentials, and
//! no AWS SDK that would look for any.

mod agent;
mod arguments;
mod brokers;
mod ca_name;
mod counters;
mod disk;
mod help;
mod log;
mod options;
mod published;
mod report;
mod shutdown;
mod trust;
#[doc(hidden)]
pub mod untrusted;

pub use arguments::{Arguments, Format};
pub use brokers::Command;
pub use disk::{DirectoryInUse, replace};
pub use help::with_examples;

use std::io::Write as _;

use anyhow::{bail, ensure};
use tokio::select;

use agent::Agent;
use report::{Level, Reporter, Status, StatusServer, Systemd};
use shutdown::ShutdownSignals;

/// Runs the agent until SIGTERM or SIGINT.
///
/// With `--once`, returns after one complete pass and prints the status, as JSON if `as_json`.
///
/// # Errors
/// If another agent uses the directory ([`DirectoryInUse`]), or a file or an option is invalid.
/// With `--once`, also if anything is not up to date.
pub async fn run(command: &Command, as_json: bool) -> anyhow::Result<()> {
    let options = command.options();
    log::set_format(options.log);
    let mut shutdown = ShutdownSignals::new()?;
    let mut agent = Agent::start(command)?;
    let server = StatusServer::default();
    if let Some(address) = options.listen {
        server.serve(address).await?;
    }
    let mut reporter = Reporter::new(server);
    if options.once {
        select! {
            () = agent.poll_to_completion() => {}
            () = shutdown.received() => bail!("stopped before completion"),
        }
        return conclude(&reporter.report(&agent), as_json);
    }
    let mut systemd = Systemd::from_env();
    loop {
        // Safe to cancel at any await: files on disk are always complete, and a restart resumes.
        select! {
            () = agent.poll() => {}
            () = shutdown.received() => break,
        }
        reporter.report(&agent);
        systemd.alive();
        if agent.reconciler.is_in_place() {
            systemd.ready();
        }
        select! {
            () = agent.wait() => {}
            () = shutdown.received() => break,
        }
    }
    systemd.stopping();
    log::info("stopped");
    Ok(())
}

fn conclude(status: &Status, as_json: bool) -> anyhow::Result<()> {
    let text = if as_json { serde_json::to_string_pretty(status)? } else { status.to_string() };
    writeln!(std::io::stdout().lock(), "{text}")?;
    ensure!(status.level == Level::Ok, "not everything is up to date");
    Ok(())
}
