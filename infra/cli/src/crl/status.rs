//! `birthcert crl status`.

use std::fmt;

use ledger::store::{CrlState, PublishedCrl};
use pki::clock::Timestamp;
use serde::Serialize;

use super::Of;
use crate::{Context, exit::Stop, output::Table};

pub(super) const EXAMPLES: &str = "\
Examples:
  birthcert crl status
  birthcert crl status --ca device --output json

It shows what the publisher recorded in the table. What verifiers get is at the CAs' addresses. Where a \
CA has no list that is good now, this exits with 3.";

#[derive(Serialize)]
#[serde(transparent)]
struct Lists(Vec<Row>);

#[derive(Serialize)]
pub(super) struct Row {
    ca: String,
    #[serde(flatten)]
    published: Option<Shown>,
    /// Whether a new one was asked for and is not there yet.
    requested: bool,
}

#[derive(Serialize)]
struct Shown {
    number: u64,
    published_at: Timestamp,
    age_seconds: u64,
    next_update: Timestamp,
    entries: u64,
    bytes: u64,
}

impl Shown {
    fn of(published: PublishedCrl, now: Timestamp) -> Self {
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
    pub(super) fn of(ca: String, state: CrlState, requests: u64, now: Timestamp) -> Self {
        let published = state.published.map(|published| Shown::of(published, now));
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

/// In the two largest units.
fn age(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match () {
        () if days > 0 => format!("{days} d {} h", hours % 24),
        () if hours > 0 => format!("{hours} h {} min", minutes % 60),
        () if minutes > 0 => format!("{minutes} min {} s", seconds % 60),
        () => format!("{seconds} s"),
    }
}

impl fmt::Display for Lists {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Table {
            header: ["CA", "NUMBER", "AGE", "GOOD UNTIL", "CERTIFICATES", "BYTES", "REQUESTED"],
            rows: self.0.iter().map(Row::cells).collect(),
            none: "There are no CAs.",
        }
        .fmt(f)
    }
}

/// Whether the last list that was published is good now.
pub(crate) fn is_good(state: &CrlState, now: Timestamp) -> bool {
    state.published.is_some_and(|published| published.next_update >= now)
}

/// Prints how the lists stand.
pub(super) async fn run(of: Of, context: &Context) -> anyhow::Result<()> {
    let requests = context.store.crl_requests().await?;
    let (mut rows, mut bad, now) = (Vec::new(), Vec::new(), Timestamp::now());
    for record in of.authorities(context).await? {
        let ca = record.name.to_string();
        let state = context.store.crl_state(&ca).await?;
        if !is_good(&state, now) {
            bad.push(ca.clone());
        }
        let asked = requests.iter().find(|(name, _)| *name == ca).map_or(0, |(_, count)| *count);
        rows.push(Row::of(ca, state, asked, now));
    }
    context.output.print(&Lists(rows))?;
    match bad.as_slice() {
        [] => Ok(()),
        bad => Err(Stop::Missing(format!("CRL that is good now: {}", bad.join(", "))).into()),
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
