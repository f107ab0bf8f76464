//! `birthcert device`.

use std::{fmt, num::NonZeroUsize};

use birthcert::{id::ProjectId, label::Label, store::DeviceRecord};
use serde::Serialize;

use crate::{Context, output::Table};

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// List a project's devices, oldest first.
    List(ListCommand),
}

#[derive(clap::Args)]
pub(crate) struct ListCommand {
    /// The project.
    #[arg(long, env = "BIRTHCERT_PROJECT")]
    project: ProjectId,
    /// At most so many.
    #[arg(long)]
    limit: Option<NonZeroUsize>,
}

#[derive(Serialize)]
#[serde(transparent)]
struct Devices(Vec<DeviceRecord>);

impl fmt::Display for Devices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = |it: &DeviceRecord| {
            [
                it.device_id.to_string(),
                it.status.to_string(),
                it.created_at.to_string(),
                it.token_id.to_string(),
                it.label.as_ref().map(Label::as_str).unwrap_or_default().to_owned(),
            ]
        };
        Table {
            header: ["DEVICE", "STATUS", "ENROLLED", "TOKEN", "LABEL"],
            rows: self.0.iter().map(row).collect(),
            none: "The project has no devices.",
        }
        .fmt(f)
    }
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<()> {
        match self {
            Self::List(ListCommand { project, limit }) => {
                context.expect_project(project).await?;
                let limit = limit.map(NonZeroUsize::get);
                let devices = context.store.devices(project, limit).await?;
                context.output.print(&Devices(devices))
            }
        }
    }
}
