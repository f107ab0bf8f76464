//! The agent's status, as text for people and JSON for programs.

use std::fmt;

use pki::clock::Timestamp;
use serde::{Serialize, Serializer};

use crate::counters::Counters;

/// The severity of a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    Ok,
    /// The broker's files are still valid.
    Warning,
    /// The broker's files are incomplete, or it refuses every client.
    Failing,
}

/// A problem that an operator should look at.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Problem {
    pub(crate) level: Level,
    /// The affected subject, such as `CA device`. Stays the same while the problem lasts.
    pub(crate) about: String,
    pub(crate) text: String,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct CaReport {
    pub(crate) name: String,
    pub(crate) crl: Option<CrlStatus>,
    /// Time at which the CRL was last known to be the newest.
    #[serde(serialize_with = "rfc_3339_if_any")]
    pub(crate) checked_at: Option<Timestamp>,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct CrlStatus {
    pub(crate) number: u64,
    pub(crate) entries: usize,
    #[serde(serialize_with = "rfc_3339")]
    pub(crate) this_update: Timestamp,
    #[serde(serialize_with = "rfc_3339")]
    pub(crate) next_update: Timestamp,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Status {
    pub(crate) version: &'static str,
    /// The process id of the agent.
    pub(crate) pid: u32,
    pub(crate) broker: &'static str,
    pub(crate) source: String,
    pub(crate) level: Level,
    pub(crate) problems: Vec<Problem>,
    pub(crate) authorities: Vec<CaReport>,
    pub(crate) denied_devices: usize,
    /// True if the broker has applied the latest CRLs and denied devices.
    pub(crate) applied: bool,
    #[serde(serialize_with = "rfc_3339")]
    pub(crate) started_at: Timestamp,
    pub(crate) counters: Counters,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.applied { "up to date" } else { "not up to date" };
        write!(f, "{}: {state}; {} denied devices", self.broker, self.denied_devices)?;
        for CaReport { name, crl, .. } in &self.authorities {
            match crl {
                Some(CrlStatus { number, entries, next_update: until, .. }) => {
                    write!(f, "\nCA {name}: CRL {number}, {entries} entries, valid until {until}")?;
                }
                _ => write!(f, "\nCA {name}: no CRL")?,
            }
        }
        for Problem { about, text, .. } in &self.problems {
            write!(f, "\n{about}: {text}")?;
        }
        Ok(())
    }
}

fn rfc_3339<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(at)
}

fn rfc_3339_if_any<S: Serializer>(
    at: &Option<Timestamp>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    at.map(|at| at.to_string()).serialize(serializer)
}
