//! `birthcert project`.

mod policy;
mod update;
mod view;

use std::fmt;

use getrandom::{SysRng, rand_core::UnwrapErr};
use ledger::{
    OperatorError,
    store::{Policy, ProjectRecord},
};
use pki::names::{Label, ProjectId};
use serde::Serialize;

use crate::{Context, exit::usage, output::Table};
use view::ProjectView;

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Add a project.
    #[command(after_help = CREATE_EXAMPLES)]
    Create(CreateCommand),
    /// Change a project's name or policy. Only what is given changes, all of it in one write.
    ///
    /// The functions hold to the policy that they have read for a minute: certificates that are issued
    /// within it may still be under the old one. What was issued stays as it is.
    #[command(after_help = update::EXAMPLES)]
    Update(update::UpdateCommand),
    /// Show a project and its policy.
    #[command(after_help = "Example:\n  birthcert project show --project proj_…")]
    Show(Of),
    /// List projects, oldest first.
    #[command(after_help = "Example:\n  birthcert project list")]
    List,
}

const CREATE_EXAMPLES: &str = "\
Examples:
  birthcert project create --name pumps

  # For AWS IoT Core, which takes no certificate that lives beyond 2049
  birthcert project create --name pumps --not-after-cap 2049-12-31T23:59:59Z

  # Devices with secure elements: their own keys and no others
  birthcert project create --name meters --key-kinds p256 --server-generated-keys refused";

#[derive(clap::Args)]
pub(crate) struct CreateCommand {
    /// For people.
    #[arg(long)]
    name: Label,
    #[command(flatten)]
    policy: policy::PolicyArguments,
}

#[derive(clap::Args)]
pub(crate) struct Of {
    /// The project.
    #[arg(long, env = "BIRTHCERT_PROJECT")]
    project: ProjectId,
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
                let terms = command.policy.terms(Policy::default().into());
                let policy = Policy::try_from(terms).map_err(usage)?;
                policy.check(context.now).map_err(usage)?;
                let project = ProjectRecord {
                    project_id: ProjectId::generate(&mut UnwrapErr(SysRng)),
                    name: command.name,
                    policy,
                    created_at: context.now,
                };
                context.store.create_project(&project).await?;
                context.output.print(&Created(project))
            }
            Self::Update(command) => command.run(context).await,
            Self::Show(Of { project }) => {
                let record = context.store.project(project).await?;
                let missing = || OperatorError::Missing(format!("project {project}"));
                context.output.print(&ProjectView(record.ok_or_else(missing)?))
            }
            Self::List => context.output.print(&Projects(context.store.projects(None).await?)),
        }
    }
}
