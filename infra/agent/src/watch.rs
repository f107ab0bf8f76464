//! Tells what is wrong: in the log once and then from time to time, and in the status always.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use pki::clock::Timestamp;

use crate::{
    agent::Agent,
    authorities::Authorities,
    authority::Authority,
    board::Board,
    files, index, log,
    schedule::STILL_COMING,
    status::{AuthorityStatus, CrlStatus, Level, Problem, Status},
};

/// How often a problem that lasts is told again.
const REMIND: Duration = Duration::from_secs(10 * 60);
/// How often the file is written although nothing but the time changed.
const REWRITE: Duration = Duration::from_secs(30);
/// As problems name it.
const DENIED: &str = "list of denied devices";

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
            authorities: authorities(&agent.authorities),
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
    for (name, text) in agent.authorities.problems(now) {
        problem(Level::Warning, format!("CA {name}"), text.to_owned());
    }
    for authority in agent.authorities.in_force(now) {
        let about = format!("CA {}'s CRL", authority.name());
        let until = authority.crl().next_update();
        if until < now {
            let text = format!("expired {until}: brokers that read it refuse everyone");
            problem(Level::Failing, about, text);
        } else if until <= now.plus(agent.options.warn_before.as_secs()) {
            let text = format!("expires {until}, and there is no newer one");
            problem(Level::Warning, about, text);
        } else if is_stale(authority, agent.options.stale_after, now) {
            let made = authority.crl().this_update();
            let text = format!("is of {made}: somebody may hold back what is newer");
            problem(Level::Warning, about, text);
        }
    }
    for (schedule, about) in [(&agent.index, index::PATH), (&agent.list, DENIED)] {
        if let Some(text) = schedule.problem() {
            problem(Level::Warning, about.to_owned(), text.to_owned());
        }
    }
    // At once: the broker has the CRLs that name it, and not the list.
    if agent.list.is_coming() && agent.list.problem().is_none() {
        problem(Level::Warning, DENIED.to_owned(), STILL_COMING.to_owned());
    }
    if let Some(text) = agent.missing() {
        problem(Level::Failing, "files".to_owned(), text.to_owned());
    }
    if let Some(text) = agent.enforcer.schedule().problem() {
        problem(Level::Failing, agent.enforcer.broker().name().to_owned(), text.to_owned());
    }
    problems
}

/// The root makes its CRL by hand, and when it has to.
fn is_stale(authority: &Authority, after: Duration, now: Timestamp) -> bool {
    let is_made_by_hand = authority.name() == index::ROOT;
    !is_made_by_hand && authority.crl().this_update().plus(after.as_secs()) < now
}

/// By name.
fn authorities(all: &Authorities) -> Vec<AuthorityStatus> {
    let known = all.known().map(|it| AuthorityStatus {
        name: it.name().to_owned(),
        crl: Some(CrlStatus {
            number: it.crl().number(),
            entries: it.crl().len(),
            this_update: it.crl().this_update(),
            next_update: it.crl().next_update(),
        }),
        checked_at: it.checked_at(),
    });
    let unknown = all.unknown().map(|name| AuthorityStatus {
        name: name.to_owned(),
        crl: None,
        checked_at: None,
    });
    let mut all: Vec<_> = known.chain(unknown).collect();
    all.sort_by(|one, other| one.name.cmp(&other.name));
    all
}
