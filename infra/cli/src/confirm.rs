//! Asking before what cannot be taken back, and showing first what lasts for decades.

use std::io::{self, BufRead, IsTerminal, Write};

use crate::{exit::Stop, output::Format, plan::Plan};

#[derive(clap::Args)]
pub(crate) struct Confirm {
    /// Do it without asking. Without a terminal there is nobody to ask, and nothing is done.
    #[arg(long, short = 'y')]
    yes: bool,
}

impl Confirm {
    /// Whether the operator said yes beforehand.
    pub(crate) fn given(yes: bool) -> Self {
        Self { yes }
    }

    /// Returns once the operator said yes to `what`.
    pub(crate) fn ask(&self, what: &str) -> anyhow::Result<()> {
        if self.yes {
            return Ok(());
        }
        if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
            let text = format!("not confirmed, and nothing was done: --yes is needed to {what}");
            return Err(Stop::Refused(text).into());
        }
        let mut answer = String::new();
        write!(io::stderr(), "About to {what}. Go on? [y/N] ")?;
        io::stdin().lock().read_line(&mut answer)?;
        match answer.trim().to_ascii_lowercase().as_str() {
            "y" | "yes" => Ok(()),
            _ => Err(Stop::Refused("not confirmed, and nothing was done".into()).into()),
        }
    }
}

/// For what lasts for decades: without `--yes` a command is a dry run.
#[derive(clap::Args)]
pub(crate) struct Consent {
    /// Do it. Without, this is a dry run: everything that can be is checked, what would be done is
    /// shown, and nothing is made, written or signed.
    #[arg(long, short = 'y')]
    yes: bool,
}

impl Consent {
    /// Whether this is no dry run.
    pub(crate) fn is_given(&self) -> bool {
        self.yes
    }

    /// Whether to go on; if not, prints `plan`.
    pub(crate) fn given(&self, output: Format, plan: Plan) -> anyhow::Result<bool> {
        if !self.yes {
            output.print(&plan)?;
        }
        Ok(self.yes)
    }
}
