//! `birthcert crl publish`.

use std::{fmt, time::Duration};

use anyhow::bail;
use pki::clock::Timestamp;
use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::selection::CaSelection;
use crate::{context::Context, output::progress};

pub(super) const EXAMPLES: &str = "\
Examples:
  birthcert crl publish
  birthcert crl publish --ca device --timeout 10";

pub(super) const NOTES: &str = "\
After a timeout, the request stays in the table. See the log of the function crl.";

/// Pause between two reads of the table.
const POLL: Duration = Duration::from_millis(200);

#[derive(clap::Args)]
pub(crate) struct PublishCommand {
    #[command(flatten)]
    selection: CaSelection,
    /// Time to wait, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    timeout: u64,
}

#[derive(Serialize)]
#[serde(transparent)]
struct NewCrls(Vec<NewCrl>);

#[derive(Serialize)]
struct NewCrl {
    ca: String,
    number: u64,
    entries: u64,
    next_update: Timestamp,
}

impl fmt::Display for NewCrls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, NewCrl { ca, number, entries, next_update }) in self.0.iter().enumerate() {
            let line = if index == 0 { "" } else { "\n" };
            write!(
                f,
                "{line}{ca}: CRL number {number}, {entries} entries, valid until {next_update}"
            )?;
        }
        Ok(())
    }
}

impl PublishCommand {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<()> {
        let mut waiting = Vec::new();
        for record in self.selection.authorities(context).await? {
            let ca = record.name.to_string();
            let request = context.store.request_crl(&ca, Timestamp::now()).await?;
            waiting.push((ca, request));
        }
        let progress = progress::bar(waiting.len(), "CRLs published");
        let deadline = Instant::now() + Duration::from_secs(self.timeout);
        let mut published_crls = Vec::new();
        for (ca, request) in waiting {
            while context.store.answered_crl_requests(&ca, request).await? < request {
                if Instant::now() >= deadline {
                    progress.finish_and_clear();
                    bail!(
                        "no new CRL of the CA {ca} within {} s: the request stays in the table; see the log \
                         of the function crl",
                        self.timeout
                    );
                }
                sleep(POLL).await;
            }
            progress.inc(1);
            let Some(published) = context.store.crl_state(&ca).await?.published else {
                bail!("the table's record of the CRL of the CA {ca} is not valid");
            };
            published_crls.push(NewCrl {
                ca,
                number: published.number,
                entries: published.entries,
                next_update: published.next_update,
            });
        }
        progress.finish_and_clear();
        context.output.print(&NewCrls(published_crls))
    }
}
