//! `birthcert project update`.

use ledger::store::{Change, ProjectChanges, ProjectTerms};
use pki::names::Label;

use super::{Of, policy::PolicyArguments, view::ProjectView};
use crate::{Context, exit::usage};

pub(crate) const EXAMPLES: &str = "\
Examples:
  # From now on devices make their own keys, in a secure element
  birthcert project update --server-generated-keys refused --key-kinds p256

  # Certificates that AWS IoT Core takes
  birthcert project update --not-after-cap 2049-12-31T23:59:59Z

  # Twenty certificates a device, and nobody's name in them
  birthcert project update --issuance-limit 20 --no-organization";

#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("change").required(true).multiple(true).args([
    "name", "validity_days", "not_after_cap", "no_not_after_cap", "grace_hours", "issuance_limit",
    "key_kinds", "server_generated_keys", "organization", "no_organization",
]))]
pub(crate) struct UpdateCommand {
    #[command(flatten)]
    of: Of,
    /// For people.
    #[arg(long)]
    name: Option<Label>,
    #[command(flatten)]
    policy: PolicyArguments,
    /// Let certificates be valid for as long as the policy says, whenever that ends.
    #[arg(long, conflicts_with = "not_after_cap")]
    no_not_after_cap: bool,
    /// Leave the organization out of the subject.
    #[arg(long, conflicts_with = "organization")]
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
        let record = context.store.change_project(self.of.project, &changes).await?;
        context.output.print(&ProjectView(record))
    }
}
