//! `birthcert project`.

mod create;
mod list;
mod policy;
mod update;
mod view;

use crate::{context::Context, help::with_examples, options::project::ProjectOption};
use view::ProjectView;

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Create a project.
    #[command(help_template = with_examples(create::EXAMPLES))]
    Create(create::CreateCommand),
    /// Change a project's name or policy.
    ///
    /// Changes only what is given, in one write. Functions cache the policy for a minute, so certificates
    /// issued within that time may still follow the old policy. Existing certificates stay as they are.
    #[command(help_template = with_examples(update::EXAMPLES))]
    Update(update::UpdateCommand),
    /// Show a project and its policy.
    #[command(help_template = with_examples("Example:\n  birthcert project show --project proj_…"))]
    Show(ProjectOption),
    /// List projects, oldest first.
    #[command(help_template = with_examples("Example:\n  birthcert project list"))]
    List,
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<()> {
        match self {
            Self::Create(command) => command.run(context).await,
            Self::Update(command) => command.run(context).await,
            Self::Show(ProjectOption { project }) => {
                context.output.print(&ProjectView(context.project(project).await?))
            }
            Self::List => list::run(context).await,
        }
    }
}
