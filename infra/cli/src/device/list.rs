//! `birthcert device list`.

use std::{
    io::{self, IsTerminal},
    num::NonZeroUsize,
};

use ledger::store::{DeviceRecord, Position};
use pki::names::{DeviceId, Label, ProjectId, TokenId};

use super::selection::{Filters, Selection};
use crate::{
    Context,
    exit::Stop,
    listing::{Listing, Row},
    progress,
};

pub(crate) const EXAMPLES: &str = "\
Examples:
  # The pumps of the March batch that still work
  birthcert device list --batch-label March --label pump --status active

  # Everything, for a spreadsheet; for a program, a device a line
  birthcert device list --output csv > devices.csv
  birthcert device list --output jsonl | jq -r .device_id

  # Page by page: after the last device of the page before
  birthcert device list --limit 100
  birthcert device list --limit 100 --after dev_…

A label that a spreadsheet would take for a formula (it begins with = + - or @) has an apostrophe before
it in CSV. Lists are behind by a moment: a device that just enrolled may not be on them yet.";

const NONE: &str = "The project has no devices.";
const NO_MATCH: &str = "The project has no such devices.";

#[derive(clap::Args)]
pub(crate) struct ListCommand {
    /// The project.
    #[arg(long, env = "BIRTHCERT_PROJECT")]
    project: ProjectId,
    #[command(flatten)]
    filters: Option<Filters>,
    /// The newest first.
    #[arg(long)]
    newest_first: bool,
    #[command(flatten)]
    page: Page,
}

/// A part of a list.
#[derive(clap::Args)]
pub(crate) struct Page {
    /// At most so many.
    #[arg(long, value_name = "DEVICES")]
    limit: Option<NonZeroUsize>,
    /// Only devices that come after this one in the list.
    #[arg(long, value_name = "DEVICE")]
    after: Option<DeviceId>,
}

impl Row for DeviceRecord {
    const TITLES: &'static [&'static str] = &["DEVICE", "STATUS", "ENROLLED", "TOKEN", "LABEL"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.device_id.to_string(),
            self.status.to_string(),
            self.created_at.to_string(),
            self.token_id.to_string(),
            self.label.as_ref().map(Label::to_string).unwrap_or_default(),
        ]
    }

    const FIELDS: &'static [&'static str] =
        &["device_id", "project_id", "label", "status", "token_id", "created_at"];

    fn record(&self) -> Vec<String> {
        vec![
            self.device_id.to_string(),
            self.project_id.to_string(),
            self.label.as_ref().map(Label::to_string).unwrap_or_default(),
            self.status.to_string(),
            self.token_id.to_string(),
            self.created_at.to_string(),
        ]
    }
}

impl ListCommand {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<()> {
        let Self { project, filters, newest_first, page } = self;
        let none = if filters.is_some() { NO_MATCH } else { NONE };
        list(context, project, filters.unwrap_or_default(), newest_first, page, none).await
    }
}

/// What came in on a token.
pub(crate) async fn list_of_token(
    context: &Context,
    project: ProjectId,
    token: TokenId,
    page: Page,
) -> anyhow::Result<()> {
    let none = "No device came in on this token.";
    list(context, project, Filters::of_token(token), false, page, none).await
}

/// Writes as it reads: no list is too long for the memory.
async fn list(
    context: &Context,
    project: ProjectId,
    filters: Filters,
    newest_first: bool,
    Page { limit, after }: Page,
    none: &'static str,
) -> anyhow::Result<()> {
    let after = match after {
        Some(device_id) => Some(position(context, project, device_id).await?),
        None => None,
    };
    let none = if after.is_some() { NO_MATCH } else { none };
    let mut selection = Selection::new(context, project, filters, newest_first, after).await?;
    let mut listing = Listing::new(context.output, none);
    let progress = progress::counter("devices");
    let mut remaining = limit.map(NonZeroUsize::get);
    let mut last = None;
    while remaining != Some(0)
        && let Some(devices) = selection.next(remaining).await?
    {
        let wanted = devices.len().min(remaining.unwrap_or(usize::MAX));
        for device in &devices[..wanted] {
            listing.push(device)?;
            last = Some(device.device_id);
        }
        progress.inc(wanted as u64);
        remaining = remaining.map(|remaining| remaining - wanted);
        listing.flush()?;
    }
    progress.finish_and_clear();
    listing.end()?;
    if let (Some(0), Some(last), true) = (remaining, last, io::stderr().is_terminal()) {
        eprintln!("There may be more: --after {last}");
    }
    Ok(())
}

async fn position(
    context: &Context,
    project: ProjectId,
    device_id: DeviceId,
) -> anyhow::Result<Position> {
    let device = context.store.device(device_id).await?.map(|device| device.record);
    let device = device.filter(|device| device.project_id == project).ok_or_else(|| {
        Stop::Missing(format!(
            "device {device_id} in project {project}, to list what comes after it; \
             --created-after TIME needs none"
        ))
    })?;
    Ok(Position { created_at: device.created_at, device_id })
}
