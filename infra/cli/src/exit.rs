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

/// Returns the operator's error, whether a command or the store returned it.
fn operator_error<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a OperatorError> {
    match error.downcast_ref::<ledger::Error>() {
        Some(ledger::Error::Operator(error)) => Some(error),
        _ => error.downcast_ref(),
    }
}

fn code(error: &anyhow::Error) -> u8 {
    let by_ours = error.chain().find_map(operator_error).map(|it| match it {
        OperatorError::Missing(_) => 3,
        OperatorError::Exists(_)
        | OperatorError::AuthorityStatus { .. }
        | OperatorError::DeviceStatus { .. }
        | OperatorError::Revoked(_)
        | OperatorError::RenewalMismatch(_) => 4,
    });
    let by_command = error.chain().find_map(|it| it.downcast_ref()).map(|it| match it {
        CommandError::Usage(_) => 2,
        CommandError::Missing(_) => 3,
        CommandError::Refused(_) => 4,
        CommandError::Partial(_) => 5,
    });
    let by_agent = error.is::<birthcert_agent::DirectoryInUse>().then_some(4);
    by_ours.or(by_command).or(by_agent).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;
    use pki::{
        authority::{AuthorityName, AuthorityStatus},
        profile::Usage,
    };

    use super::*;

    #[test]
    fn codes_are_told_apart_through_contexts() {
        let missing: anyhow::Result<()> =
            Err(OperatorError::Missing("device".into())).context("while");
        assert_eq!(code(&missing.unwrap_err()), 3);
        assert_eq!(code(&OperatorError::Exists("CA".into()).into()), 4);
        let name = AuthorityName::first(Usage::Device);
        let active = OperatorError::AuthorityStatus { name, status: AuthorityStatus::Active };
        assert_eq!(code(&active.into()), 4);
        assert_eq!(code(&CommandError::Refused("no".into()).into()), 4);
        assert_eq!(code(&CommandError::Partial("some".into()).into()), 5);
        assert_eq!(code(&ledger::Error::Contended.into()), 1);
        assert_eq!(code(&anyhow::anyhow!("else")), 1);
    }
}
