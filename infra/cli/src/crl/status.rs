//! `birthcert crl status`.

use std::fmt;

use ledger::store::{CrlState, PublishedCrl};
use pki::clock::Timestamp;
use serde::Serialize;

use super::selection::CaSelection;
use crate::{context::Context, error::CommandError, output::table::Table};

pub(super) const EXAMPLES: &str = "\
Examples:
  birthcert crl status
  birthcert crl status --ca device --output json";

#[derive(Serialize)]
#[serde(transparent)]
struct Statuses(Vec<Row>);

#[derive(Serialize)]
pub(super) struct Row {
    ca: String,
    #[serde(flatten)]
    published: Option<Details>,
    /// True if a new CRL was requested and is not published yet.
    requested: bool,
}

#[derive(Serialize)]
struct Details {
    number: u64,
    published_at: Timestamp,
    age_seconds: u64,
    next_update: Timestamp,
    entries: u64,
    bytes: u64,
}

impl Details {
    fn new(published: PublishedCrl, now: Timestamp) -> Self {
        let PublishedCrl { number, at, next_update, entries, bytes } = published;
        Self {
            number,
            published_at: at,
            age_seconds: now.unix().saturating_sub(at.unix()),
            next_update,
            entries,
            bytes,
        }
    }
}

impl Row {
    pub(super) fn new(ca: String, state: CrlState, requests: u64, now: Timestamp) -> Self {
        let published = state.published.map(|published| Details::new(published, now));
        Self { ca, published, requested: requests > state.answered }
    }

    fn cells(&self) -> [String; 7] {
        let requested = if self.requested { "yes" } else { "no" };
        match &self.published {
            None => [&self.ca, "-", "-", "-", "-", "-", requested].map(str::to_owned),
            Some(it) => [
                self.ca.clone(),
                it.number.to_string(),
                age(it.age_seconds),
                it.next_update.to_string(),
                it.entries.to_string(),
                it.bytes.to_string(),
                requested.to_owned(),
            ],
        }
    }
}

/// Returns an age in its two largest units.
fn age(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match () {
        () if days > 0 => format!("{days} d {} h", hours % 24),
        () if hours > 0 => format!("{hours} h {} min", minutes % 60),
        () if minutes > 0 => format!("{minutes} min {} s", seconds % 60),
        () => format!("{seconds} s"),
    }
}

impl fmt::Display for Statuses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Table {
            header: ["CA", "NUMBER", "AGE", "VALID UNTIL", "ENTRIES", "BYTES", "REQUESTED"],
            rows: self.0.iter().map(Row::cells).collect(),
            empty: "There are no CAs.",
        }
        .fmt(f)
    }
}

/// Returns true if the CRL published last is valid now.
pub(crate) fn is_valid(state: &CrlState, now: Timestamp) -> bool {
    state.published.is_some_and(|published| published.next_update >= now)
}

/// Prints the status of each CRL.
pub(super) async fn run(selection: CaSelection, context: &Context) -> anyhow::Result<()> {
    let requests = context.store.crl_requests().await?;
    let (mut rows, mut invalid, now) = (Vec::new(), Vec::new(), Timestamp::now());
    for record in selection.authorities(context).await? {
        let ca = record.name.to_string();
        let state = context.store.crl_state(&ca).await?;
        if !is_valid(&state, now) {
            invalid.push(ca.clone());
        }
        let requested =
            requests.iter().find(|(name, _)| *name == ca).map_or(0, |(_, count)| *count);
        rows.push(Row::new(ca, state, requested, now));
    }
    context.output.print(&Statuses(rows))?;
    match invalid.as_slice() {
        [] => Ok(()),
        invalid => {
            Err(CommandError::Missing(format!("valid CRL of {}", invalid.join(", "))).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_short() {
        for (seconds, text) in
            [(0, "0 s"), (61, "1 min 1 s"), (7_260, "2 h 1 min"), (180_000, "2 d 2 h")]
        {
            assert_eq!(age(seconds), text);
        }
    }
}
