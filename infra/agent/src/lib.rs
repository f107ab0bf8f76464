//! The agent beside a broker: it keeps out the devices that were revoked.
//!
//! It asks again and again for the CRLs and for the list of denied devices (`source`, `transfers`,
//! `index`, `listing`, `authorities`, `denied`), takes nothing that is not signed under the pinned root, nor anything older
//! or less fresh than what it has, keeps what it took (`directory`), writes the broker's files
//! (`installer`, `files`) and has the broker act on them (`brokers`, `enforcer`). How it goes is in
//! the log, in a file, and on a port (`watch`, `board`, `metrics`).
//!
//! A crate of its own, because it runs on every broker's machine: it has no credentials, and no AWS
//! SDK that would look for some.

mod agent;
mod authorities;
mod authority;
mod board;
mod brokers;
mod chain;
mod denied;
mod directory;
mod duration;
mod enforcer;
mod files;
mod index;
mod installer;
mod listing;
mod log;
mod metrics;
mod notify;
mod options;
mod present;
mod schedule;
mod source;
mod status;
mod transfers;
mod watch;

use std::io::Write as _;

use anyhow::{bail, ensure};
use tokio::{
    select,
    signal::unix::{Signal, SignalKind, signal},
};

pub use brokers::Command;
pub use directory::Busy;
pub use files::replace;

use agent::Agent;
use board::Board;
use notify::Notify;
use status::{Level, Status};
use watch::Watch;

/// Works beside a broker until it is told to stop by SIGTERM or SIGINT, or with `--once` until it is
/// done; then its status is printed, in JSON if `as_json`.
///
/// # Errors
/// It cannot begin: another agent is at work there ([`Busy`]), or a file or an option is of no use. With
/// `--once` also, if not everything is up to date.
pub async fn run(command: &Command, as_json: bool) -> anyhow::Result<()> {
    let options = command.options();
    log::set(options.log);
    let mut stop = Stop::new()?;
    let mut agent = Agent::start(command)?;
    let board = Board::default();
    if let Some(address) = options.listen {
        board.serve(address).await?;
    }
    let mut watch = Watch::new(board);
    if options.once {
        select! {
            () = agent.look_to_the_end() => {}
            () = stop.asked() => bail!("stopped before it was done"),
        }
        return conclude(&watch.look(&agent), as_json);
    }
    let mut notify = Notify::from_env();
    loop {
        // What is cut short between two awaits is whole on the disk, and goes on at the next start.
        select! {
            () = agent.look() => {}
            () = stop.asked() => break,
        }
        watch.look(&agent);
        notify.alive();
        if agent.enforcer.is_in_place() {
            notify.ready();
        }
        select! {
            () = agent.rest() => {}
            () = stop.asked() => break,
        }
    }
    notify.stopping();
    log::info("stopped");
    Ok(())
}

fn conclude(status: &Status, as_json: bool) -> anyhow::Result<()> {
    let text = if as_json { serde_json::to_string_pretty(status)? } else { status.to_string() };
    writeln!(std::io::stdout().lock(), "{text}")?;
    ensure!(status.level == Level::Ok, "not everything is up to date");
    Ok(())
}

struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    fn new() -> anyhow::Result<Self> {
        let terminate = signal(SignalKind::terminate())?;
        Ok(Self { terminate, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn asked(&mut self) {
        select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
