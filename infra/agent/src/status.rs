//! How it goes: for people, for programs, and for those who watch.

use std::fmt;

use pki::clock::Timestamp;
use serde::{Serialize, Serializer};

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    Ok,
    /// What the broker knows is still good.
    Warning,
    /// The broker knows too little, or refuses everyone.
    Failing,
}

/// Something that somebody should look at.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Problem {
    pub(crate) level: Level,
    /// What has it, such as `CA device`: the same problem has the same one.
    pub(crate) about: String,
    pub(crate) text: String,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct AuthorityStatus {
    pub(crate) name: String,
    pub(crate) crl: Option<CrlStatus>,
    /// When it was last known that there is nothing newer.
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

/// What happened since the start.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Counters {
    /// New CRLs taken.
    pub(crate) crls_taken: u64,
    /// Times that a CA's CRL could not be had or was not taken.
    pub(crate) failures: u64,
    /// Times that the broker's files were written.
    pub(crate) installs: u64,
    /// Times that the broker was told to read them.
    pub(crate) reloads: u64,
    pub(crate) reload_failures: u64,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Status {
    pub(crate) version: &'static str,
    /// Of the agent that wrote it.
    pub(crate) pid: u32,
    pub(crate) broker: &'static str,
    pub(crate) source: String,
    pub(crate) level: Level,
    pub(crate) problems: Vec<Problem>,
    pub(crate) authorities: Vec<AuthorityStatus>,
    pub(crate) denied_devices: usize,
    /// Whether the broker has all of it.
    pub(crate) applied: bool,
    #[serde(serialize_with = "rfc_3339")]
    pub(crate) started_at: Timestamp,
    pub(crate) counters: Counters,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.applied { "up to date" } else { "not up to date" };
        write!(f, "{}: {state}; {} denied devices", self.broker, self.denied_devices)?;
        for AuthorityStatus { name, crl, .. } in &self.authorities {
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
