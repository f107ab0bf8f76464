//! `birthcert project`.

use std::fmt;

use birthcert::{
    id::ProjectId,
    label::Label,
    store::{Policy, ProjectRecord},
};
use getrandom::{SysRng, rand_core::UnwrapErr};
use serde::Serialize;

use crate::{Context, output::Table};

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Add a project.
    Create(CreateCommand),
    /// List projects, oldest first.
    List,
}

#[derive(clap::Args)]
pub(crate) struct CreateCommand {
    /// For people.
    #[arg(long)]
    name: Label,
    /// Days that a device's certificate is valid.
    #[arg(long, default_value_t = Policy::DEFAULT_VALIDITY_DAYS)]
    validity_days: u32,
    /// Hours that a superseded certificate stays off the CRL.
    #[arg(long, default_value_t = Policy::DEFAULT_GRACE_HOURS)]
    grace_hours: u32,
    /// Certificates that one device may be issued.
    #[arg(long, default_value_t = Policy::DEFAULT_ISSUANCE_LIMIT)]
    issuance_limit: u32,
}

#[derive(Serialize)]
#[serde(transparent)]
struct Created(ProjectRecord);

impl fmt::Display for Created {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.project_id)
    }
}

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
            none: "There are no projects. Add one with: birthcert project create --name NAME",
        }
        .fmt(f)
    }
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<()> {
        match self {
            Self::Create(command) => {
                let project = ProjectRecord {
                    project_id: ProjectId::generate(&mut UnwrapErr(SysRng)),
                    name: command.name,
                    policy: Policy::new(
                        command.validity_days,
                        command.grace_hours,
                        command.issuance_limit,
                    )?,
                    created_at: context.now,
                };
                context.store.create_project(&project).await?;
                context.output.print(&Created(project))
            }
            Self::List => context.output.print(&Projects(context.store.projects(None).await?)),
        }
    }
}
