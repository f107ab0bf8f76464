//! Exit codes. `birthcert --help` lists them.

use std::{io, process::ExitCode};

use clap::{CommandFactory as _, error::ErrorKind};
use ledger::OperatorError;

use crate::{arguments::Arguments, error::CommandError};

/// Prints an error, and returns the exit code.
#[must_use]
pub fn report(error: &anyhow::Error) -> ExitCode {
    // The reader of a pipe, such as head(1), has read all that it wanted.
    let is_closed_pipe = |it: &io::Error| it.kind() == io::ErrorKind::BrokenPipe;
    if error.chain().filter_map(|it| it.downcast_ref()).any(is_closed_pipe) {
        return ExitCode::SUCCESS;
    }
    if let Some(CommandError::Usage(text)) = error.downcast_ref() {
        // Nobody reads a closed standard error.
        let _ = Arguments::command().error(ErrorKind::InvalidValue, text).print();
        return ExitCode::from(2);
    }
    eprintln!("birthcert: {error:#}");
    ExitCode::from(code(error))
}

fn code(error: &anyhow::Error) -> u8 {
    let by_ledger = error.chain().find_map(|it| match it.downcast_ref()? {
        ledger::Error::Operator(OperatorError::Missing(_)) => Some(3),
        ledger::Error::Operator(
            OperatorError::Exists(_)
            | OperatorError::AuthorityStatus { .. }
            | OperatorError::DeviceStatus { .. }
            | OperatorError::Revoked(_)
            | OperatorError::RenewalMismatch(_),
        ) => Some(4),
        _ => None,
    });
    let by_command = error.chain().find_map(|it| it.downcast_ref()).map(|it| match it {
        CommandError::Usage(_) => 2,
        CommandError::Missing(_) => 3,
        CommandError::Refused(_) => 4,
        CommandError::Partial(_) => 5,
    });
    let by_agent = error.is::<birthcert_agent::DirectoryInUse>().then_some(4);
    by_ledger.or(by_command).or(by_agent).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;
    use pki::{
        authority::{AuthorityName, AuthorityStatus},
        profile::Usage,
    };

    use super::*;
    use crate::error::usage;

    #[test]
    fn codes_are_told_apart_through_contexts() {
        let ledger = |error| anyhow::Error::from(ledger::Error::from(error)).context("while");
        assert_eq!(code(&ledger(OperatorError::Missing("device".into()))), 3);
        assert_eq!(code(&ledger(OperatorError::Exists("CA".into()))), 4);
        let name = AuthorityName::first(Usage::Device);
        let active = OperatorError::AuthorityStatus { name, status: AuthorityStatus::Active };
        assert_eq!(code(&ledger(active)), 4);
        let missing: anyhow::Result<()> = Err(CommandError::Missing("CA".into())).context("while");
        assert_eq!(code(&missing.unwrap_err()), 3);
        assert_eq!(code(&usage("x")), 2);
        assert_eq!(code(&CommandError::Refused("no".into()).into()), 4);
        assert_eq!(code(&CommandError::Partial("some".into()).into()), 5);
        assert_eq!(code(&ledger::Error::Contended.into()), 1);
        assert_eq!(code(&anyhow::anyhow!("else")), 1);
    }
}
