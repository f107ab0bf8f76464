//! Logs problems when they appear and from time to time after that, and publishes the status.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use pki::clock::Timestamp;

use super::{
    problems::problems,
    status::{CaReport, CrlStatus, Level, Problem, Status},
    status_server::StatusServer,
};
use crate::{agent::Agent, disk, log, trust::Authorities};

/// Interval at which a lasting problem is logged again.
const REMINDER_INTERVAL: Duration = Duration::from_secs(10 * 60);
/// Interval at which `status.json` is written even if only timestamps have changed.
const REWRITE_INTERVAL: Duration = Duration::from_secs(30);

pub(crate) struct Reporter {
    server: StatusServer,
    started_at: Timestamp,
    /// The lasting problems, and when each was logged last.
    logged: BTreeMap<(Level, String), Instant>,
    /// The content of the status file without its timestamps, and when it was written.
    written: Option<(String, Instant)>,
}

impl Reporter {
    pub(crate) fn new(server: StatusServer) -> Self {
        Self { server, started_at: Timestamp::now(), logged: BTreeMap::new(), written: None }
    }

    /// Logs, publishes and returns the agent's current status.
    pub(crate) fn report(&mut self, agent: &Agent<'_>) -> Status {
        let problems = problems(agent, Timestamp::now());
        self.log(&problems);
        let status = Status {
            version: env!("CARGO_PKG_VERSION"),
            pid: std::process::id(),
            broker: agent.reconciler.broker().name(),
            source: agent.options.source.to_string(),
            level: problems.iter().map(|it| it.level).max().unwrap_or(Level::Ok),
            problems,
            authorities: authority_statuses(&agent.authorities),
            denied_devices: agent.denied.devices().len(),
            applied: agent.reconciler.is_applied(),
            started_at: self.started_at,
            counters: agent.counters,
        };
        if let Err(error) = self.write_file(agent, &status) {
            log::warn(format_args!("cannot update status.json: {error:#}"));
        }
        self.server.publish(status.clone());
        status
    }

    fn log(&mut self, problems: &[Problem]) {
        let key = |it: &Problem| (it.level, it.about.clone());
        let current: Vec<_> = problems.iter().map(key).collect();
        self.logged.retain(|key, _| {
            let lasts = current.contains(key);
            if !lasts {
                log::info(format_args!("{}: resolved", key.1));
            }
            lasts
        });
        for problem in problems {
            let logged = self.logged.get(&key(problem));
            if logged.is_some_and(|at| at.elapsed() < REMINDER_INTERVAL) {
                continue;
            }
            self.logged.insert(key(problem), Instant::now());
            let line = format!("{}: {}", problem.about, problem.text);
            match problem.level {
                Level::Failing => log::error(line),
                Level::Warning | Level::Ok => log::warn(line),
            }
        }
    }

    fn write_file(&mut self, agent: &Agent<'_>, status: &Status) -> anyhow::Result<()> {
        let undated = |it: &CaReport| CaReport { checked_at: None, ..it.clone() };
        let authorities = status.authorities.iter().map(undated).collect();
        let undated = serde_json::to_string(&Status { authorities, ..status.clone() })?;
        let is_written = self
            .written
            .as_ref()
            .is_some_and(|(written, at)| *written == undated && at.elapsed() < REWRITE_INTERVAL);
        if !is_written {
            let text = serde_json::to_string_pretty(status)? + "\n";
            disk::replace(&agent.directory.file("status.json"), text.as_bytes(), None)?;
            self.written = Some((undated, Instant::now()));
        }
        Ok(())
    }
}

/// Returns the status of every known or listed CA, sorted by name.
fn authority_statuses(authorities: &Authorities) -> Vec<CaReport> {
    let known = authorities.known().map(|it| CaReport {
        name: it.name().to_owned(),
        crl: Some(CrlStatus {
            number: it.crl().number(),
            entries: it.crl().len(),
            this_update: it.crl().this_update(),
            next_update: it.crl().next_update(),
        }),
        checked_at: it.checked_at(),
    });
    let unverified = authorities.unverified().map(|name| CaReport {
        name: name.to_owned(),
        crl: None,
        checked_at: None,
    });
    let mut all: Vec<_> = known.chain(unverified).collect();
    all.sort_by(|one, other| one.name.cmp(&other.name));
    all
}
