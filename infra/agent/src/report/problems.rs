//! Finds the agent's current problems.

use std::time::Duration;

use pki::clock::Timestamp;

use super::status::{Level, Problem};
use crate::{
    agent::Agent,
    ca_name,
    published::{IN_PROGRESS, index},
    trust::VerifiedCa,
};

/// The subject of problems with the deny list. Programs may match it.
const DENY_LIST: &str = "list of denied devices";

pub(super) fn problems(agent: &Agent<'_>, now: Timestamp) -> Vec<Problem> {
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
            let text = format!("expired at {until}: brokers that use it refuse every client");
            problem(Level::Failing, about, text);
        } else if until <= now.plus(agent.options.warn_before.as_secs()) {
            let text = format!("expires at {until}, and no newer CRL is available");
            problem(Level::Warning, about, text);
        } else if is_stale(authority, agent.options.stale_after, now) {
            let issued = authority.crl().this_update();
            let text = format!("issued at {issued}: a newer CRL may be withheld");
            problem(Level::Warning, about, text);
        }
    }
    let schedules = [(&agent.index_schedule, index::PATH), (&agent.denied_schedule, DENY_LIST)];
    for (schedule, about) in schedules {
        if let Some(text) = schedule.problem() {
            problem(Level::Warning, about.to_owned(), text.to_owned());
        }
    }
    // Reported without delay: the broker already has the CRL that names the pending deny list.
    if agent.denied_schedule.is_pending() && agent.denied_schedule.problem().is_none() {
        problem(Level::Warning, DENY_LIST.to_owned(), IN_PROGRESS.to_owned());
    }
    if let Some(text) = agent.missing() {
        problem(Level::Failing, "files".to_owned(), text.to_owned());
    }
    if let Some(text) = agent.reconciler.schedule().problem() {
        problem(Level::Failing, agent.reconciler.broker().name().to_owned(), text.to_owned());
    }
    problems
}

/// Returns true if a newer CRL should exist. A root issues its CRLs by hand, on no schedule.
fn is_stale(authority: &VerifiedCa, after: Duration, now: Timestamp) -> bool {
    let is_root = authority.name() == ca_name::ROOT;
    !is_root && authority.crl().this_update().plus(after.as_secs()) < now
}
