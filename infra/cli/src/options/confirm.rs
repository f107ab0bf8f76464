//! Confirmation of changes that cannot be undone.

use std::io::{self, BufRead, IsTerminal, Write};

use crate::error::CommandError;

#[derive(clap::Args)]
pub(crate) struct Confirm {
    /// Skip the confirmation. Required without a terminal.
    #[arg(long, short = 'y')]
    yes: bool,
}

impl Confirm {
    /// Returns a confirmation that `yes` answers in advance.
    pub(crate) fn given(yes: bool) -> Self {
        Self { yes }
    }

    /// Returns once the operator confirmed `action`, as in "revoke dev_…".
    pub(crate) fn ask(&self, action: &str) -> anyhow::Result<()> {
        if self.yes {
            return Ok(());
        }
        if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
            let text = format!("not confirmed, nothing was done: give --yes to {action}");
            return Err(CommandError::Refused(text).into());
        }
        let mut answer = String::new();
        write!(io::stderr(), "About to {action}. Continue? [y/N] ")?;
        io::stdin().lock().read_line(&mut answer)?;
        match answer.trim().to_ascii_lowercase().as_str() {
            "y" | "yes" => Ok(()),
            _ => Err(CommandError::Refused("not confirmed, nothing was done".into()).into()),
        }
    }
}
