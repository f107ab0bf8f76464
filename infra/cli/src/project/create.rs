//! `birthcert project create`.

use std::fmt;

use getrandom::{SysRng, rand_core::UnwrapErr};
use ledger::store::{Policy, ProjectRecord};
use pki::names::{Label, ProjectId};
use serde::Serialize;

use super::policy::PolicyOptions;
use crate::{context::Context, error::usage};

pub(super) const EXAMPLES: &str = "\
Examples:
  birthcert project create --name pumps

  # For AWS IoT Core, which rejects certificates that expire after 2049
  birthcert project create --name pumps --not-after-cap 2049-12-31T23:59:59Z

  # For devices with secure elements, which generate their own keys
  birthcert project create --name meters --key-kinds p256 --server-generated-keys refused";

#[derive(clap::Args)]
pub(crate) struct CreateCommand {
    /// Name of the project.
    #[arg(long)]
    name: Label,
    #[command(flatten)]
    policy: PolicyOptions,
}

#[derive(Serialize)]
#[serde(transparent)]
struct Created(ProjectRecord);

impl fmt::Display for Created {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.project_id)
    }
}

impl CreateCommand {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<()> {
        let terms = self.policy.terms(Policy::default().into());
        let policy = Policy::try_from(terms).map_err(usage)?;
        policy.check(context.now).map_err(usage)?;
        let project = ProjectRecord {
            project_id: ProjectId::generate(&mut UnwrapErr(SysRng)),
            name: self.name,
            policy,
            created_at: context.now,
        };
        context.store.create_project(&project).await?;
        context.output.print(&Created(project))
    }
}
