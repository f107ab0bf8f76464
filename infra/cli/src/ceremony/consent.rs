//! Dry runs of commands whose results last for decades.

use super::plan::Plan;
use crate::output::format::Format;

/// Without `--yes`, a command is a dry run.
#[derive(clap::Args)]
pub(crate) struct Consent {
    /// Apply the changes. Without this option, the command is a dry run: it checks everything that it
    /// can, prints the plan, and creates, writes and signs nothing.
    #[arg(long, short = 'y')]
    yes: bool,
}

impl Consent {
    /// Returns true if this is not a dry run.
    pub(crate) fn is_given(&self) -> bool {
        self.yes
    }

    /// Returns true if the command is to continue; otherwise prints `plan`.
    pub(crate) fn given_or_print(&self, output: Format, plan: Plan) -> anyhow::Result<bool> {
        if !self.yes {
            output.print(&plan)?;
        }
        Ok(self.yes)
    }
}
