//! `birthcert device list`.

use std::{
    io::{self, IsTerminal},
    num::NonZeroUsize,
};

use ledger::store::{DeviceCursor, DeviceRecord};
use pki::names::{DeviceId, Label, ProjectId, TokenId};

use super::selection::{Filters, Selection};
use crate::{
    context::Context,
    error::CommandError,
    options::project::ProjectOption,
    output::{
        progress,
        rows::{Row, RowWriter},
    },
};

pub(crate) const EXAMPLES: &str = "\
Examples:
  # Active pumps of the March batch
  birthcert device list --batch-label March --label pump --status active

  # All devices, for a spreadsheet and for a program
  birthcert device list --output csv > devices.csv
  birthcert device list --output jsonl | jq -r .device_id

  # Page by page, after the last device of the previous page
  birthcert device list --limit 100
  birthcert device list --limit 100 --after dev_…";

pub(crate) const NOTES: &str = "\
Lists lag slightly: a device that has just enrolled may be missing.";

const EMPTY: &str = "The project has no devices.";
const NO_MATCH: &str = "No device of the project matches.";

#[derive(clap::Args)]
pub(crate) struct ListCommand {
    #[command(flatten)]
    project: ProjectOption,
    #[command(flatten)]
    filters: Option<Filters>,
    /// List the newest devices first.
    #[arg(long)]
    newest_first: bool,
    #[command(flatten)]
    page: Page,
}

/// A part of a list.
#[derive(clap::Args)]
pub(crate) struct Page {
    /// List at most this number of devices.
    #[arg(long, value_name = "DEVICES")]
    limit: Option<NonZeroUsize>,
    /// List only devices after this one.
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
        let empty = if filters.is_some() { NO_MATCH } else { EMPTY };
        let filters = filters.unwrap_or_default();
        list(context, project.project, filters, newest_first, page, empty).await
    }
}

/// Lists the devices that enrolled with a token.
pub(crate) async fn list_of_token(
    context: &Context,
    project: ProjectId,
    token: TokenId,
    page: Page,
) -> anyhow::Result<()> {
    let empty = "No device enrolled with this token.";
    list(context, project, Filters::of_token(token), false, page, empty).await
}

/// Writes each page as it is read, so that memory does not limit the length of a list.
async fn list(
    context: &Context,
    project: ProjectId,
    filters: Filters,
    newest_first: bool,
    Page { limit, after }: Page,
    empty: &'static str,
) -> anyhow::Result<()> {
    let after = match after {
        Some(device_id) => Some(position(context, project, device_id).await?),
        None => None,
    };
    let empty = if after.is_some() { NO_MATCH } else { empty };
    let mut selection = Selection::new(context, project, filters, newest_first, after).await?;
    let mut listing = RowWriter::new(context.output, empty);
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
        eprintln!("There may be more devices: continue with --after {last}");
    }
    Ok(())
}

async fn position(
    context: &Context,
    project: ProjectId,
    device_id: DeviceId,
) -> anyhow::Result<DeviceCursor> {
    let device = context.store.device(device_id).await?.map(|device| device.record);
    let device = device.filter(|device| device.project_id == project).ok_or_else(|| {
        CommandError::Missing(format!(
            "device {device_id} in project {project}: give another device with --after, or a time with \
             --created-after"
        ))
    })?;
    Ok(DeviceCursor { created_at: device.created_at, device_id })
}
