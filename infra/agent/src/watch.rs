//! Tells what is wrong: in the log once and then from time to time, and in the status always.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use birthcert::clock::Timestamp;

use crate::{
    agent::Agent,
    authority::Authority,
    board::Board,
    files, index, log,
    status::{AuthorityStatus, CrlStatus, Level, Problem, Status},
};

/// How often a problem that lasts is told again.
const REMIND: Duration = Duration::from_secs(10 * 60);
/// How often the file is written although nothing but the time changed.
const REWRITE: Duration = Duration::from_secs(30);

pub(crate) struct Watch {
    board: Board,
    started_at: Timestamp,
    /// What was told, and when.
    told: BTreeMap<(Level, String), Instant>,
    /// What the file says but for its time, and when it was written.
    written: Option<(String, Instant)>,
}

impl Watch {
    pub(crate) fn new(board: Board) -> Self {
        Self { board, started_at: Timestamp::now(), told: BTreeMap::new(), written: None }
    }

    /// Looks at how it goes, tells it, and returns it.
    pub(crate) fn look(&mut self, agent: &Agent<'_>) -> Status {
        let now = Timestamp::now();
        let problems = problems(agent, now);
        self.tell(&problems);
        let status = Status {
            version: env!("CARGO_PKG_VERSION"),
            pid: std::process::id(),
            broker: agent.enforcer.broker().name(),
            source: agent.options.source.to_string(),
            level: problems.iter().map(|it| it.level).max().unwrap_or(Level::Ok),
            problems,
            authorities: agent.authorities.values().map(authority).collect(),
            denied_devices: agent.denied.devices().len(),
            applied: agent.enforcer.is_applied(),
            started_at: self.started_at,
            counters: agent.counters,
        };
        if let Err(error) = self.write(agent, &status) {
            log::warn(format_args!("the status: {error:#}"));
        }
        self.board.show(status.clone());
        status
    }

    fn tell(&mut self, problems: &[Problem]) {
        let key = |it: &Problem| (it.level, it.about.clone());
        let current: Vec<_> = problems.iter().map(key).collect();
        self.told.retain(|key, _| {
            let lasts = current.contains(key);
            if !lasts {
                log::info(format_args!("{}: all right again", key.1));
            }
            lasts
        });
        for problem in problems {
            let told = self.told.get(&key(problem));
            if told.is_some_and(|at| at.elapsed() < REMIND) {
                continue;
            }
            self.told.insert(key(problem), Instant::now());
            let line = format!("{}: {}", problem.about, problem.text);
            match problem.level {
                Level::Failing => log::error(line),
                Level::Warning | Level::Ok => log::warn(line),
            }
        }
    }

    fn write(&mut self, agent: &Agent<'_>, status: &Status) -> anyhow::Result<()> {
        let unchecked = |it: &AuthorityStatus| AuthorityStatus { checked_at: None, ..it.clone() };
        let authorities = status.authorities.iter().map(unchecked).collect();
        let still = serde_json::to_string(&Status { authorities, ..status.clone() })?;
        let is_written = self
            .written
            .as_ref()
            .is_some_and(|(written, at)| *written == still && at.elapsed() < REWRITE);
        if !is_written {
            let text = serde_json::to_string_pretty(status)? + "\n";
            files::replace(&agent.directory.file("status.json"), text.as_bytes(), None)?;
            self.written = Some((still, Instant::now()));
        }
        Ok(())
    }
}

fn problems(agent: &Agent<'_>, now: Timestamp) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut problem = |level, about: String, text: String| {
        problems.push(Problem { level, about, text });
    };
    for authority in agent.authorities.values().filter(|it| !it.is_over(now)) {
        let about = |what: &str| format!("CA {}{what}", authority.name());
        if let Some(text) = authority.schedule().problem() {
            problem(Level::Warning, about(""), text.to_owned());
        }
        let Some(crl) = authority.crl() else { continue };
        let until = crl.next_update();
        if until < now {
            let text = format!("expired {until}: brokers that read it refuse everyone");
            problem(Level::Failing, about("'s CRL"), text);
        } else if until <= now.plus(agent.options.warn_before.as_secs()) {
            problem(
                Level::Warning,
                about("'s CRL"),
                format!("expires {until}, and there is no newer one"),
            );
        }
    }
    for (schedule, about) in [(&agent.index, index::PATH), (&agent.list, "list of denied devices")]
    {
        if let Some(text) = schedule.problem() {
            problem(Level::Warning, about.to_owned(), text.to_owned());
        }
    }
    if let Some(text) = agent.missing() {
        problem(Level::Failing, "files".to_owned(), text);
    }
    if let Some(text) = agent.enforcer.schedule().problem() {
        problem(Level::Failing, agent.enforcer.broker().name().to_owned(), text.to_owned());
    }
    problems
}

fn authority(authority: &Authority) -> AuthorityStatus {
    let crl = authority.crl().map(|crl| CrlStatus {
        number: crl.number(),
        entries: crl.len(),
        this_update: crl.this_update(),
        next_update: crl.next_update(),
    });
    AuthorityStatus { name: authority.name().to_owned(), crl, checked_at: authority.checked_at() }
}
