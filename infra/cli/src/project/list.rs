//! `birthcert project list`.

use std::fmt;

use ledger::store::ProjectRecord;
use serde::Serialize;

use crate::{context::Context, output::table::Table};

#[derive(Serialize)]
#[serde(transparent)]
struct Projects(Vec<ProjectRecord>);

impl fmt::Display for Projects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = |it: &ProjectRecord| {
            [it.project_id.to_string(), it.created_at.to_string(), it.name.to_string()]
        };
        Table {
            header: ["PROJECT", "CREATED", "NAME"],
            rows: self.0.iter().map(row).collect(),
            empty: "There are no projects. Create one with: birthcert project create --name NAME",
        }
        .fmt(f)
    }
}

pub(super) async fn run(context: &Context) -> anyhow::Result<()> {
    context.output.print(&Projects(context.store.projects(None).await?))
}
