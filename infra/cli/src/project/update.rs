//! `birthcert project update`.

use ledger::store::{Change, ProjectChanges, ProjectTerms};
use pki::names::Label;

use super::{
    policy::{HEADING, PolicyOptions},
    view::ProjectView,
};
use crate::{context::Context, error::usage, options::project::ProjectOption};

pub(crate) const EXAMPLES: &str = "\
Examples:
  # Require devices to generate their own P-256 keys, as in a secure element
  birthcert project update --server-generated-keys refused --key-kinds p256

  # For AWS IoT Core, which rejects certificates that expire after 2049
  birthcert project update --not-after-cap 2049-12-31T23:59:59Z

  # Allow twenty certificates per device, without an organization
  birthcert project update --issuance-limit 20 --no-organization";

#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("change").required(true).multiple(true).args([
    "name", "validity_days", "not_after_cap", "no_not_after_cap", "grace_hours", "issuance_limit",
    "key_kinds", "server_generated_keys", "organization", "no_organization",
]))]
pub(crate) struct UpdateCommand {
    #[command(flatten)]
    project: ProjectOption,
    /// Name of the project.
    #[arg(long)]
    name: Option<Label>,
    #[command(flatten)]
    policy: PolicyOptions,
    /// Remove the time by which all certificates expire.
    #[arg(long, conflicts_with = "not_after_cap", help_heading = HEADING)]
    no_not_after_cap: bool,
    /// Remove the organization from the subject.
    #[arg(long, conflicts_with = "organization", help_heading = HEADING)]
    no_organization: bool,
}

impl UpdateCommand {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<()> {
        let policy = self.policy;
        let terms = ProjectTerms {
            name: self.name,
            key_kinds: policy.key_kinds(),
            server_generated_keys: policy.server_generated_keys(),
            validity_days: policy.validity_days,
            grace_hours: policy.grace_hours,
            issuance_limit: policy.issuance_limit,
            not_after_cap: Change::to(policy.not_after_cap, self.no_not_after_cap),
            organization: Change::to(policy.organization, self.no_organization),
        };
        let changes = ProjectChanges::new(terms, context.now).map_err(usage)?;
        let record = context.store.change_project(self.project.project, &changes).await?;
        context.output.print(&ProjectView(record))
    }
}
