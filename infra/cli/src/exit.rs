//! How a command ends, for the scripts that call it.

use std::{error::Error as _, fmt, io, process::ExitCode};

use clap::{CommandFactory as _, error::ErrorKind};
use ledger::OperatorError;

/// For `--help`.
pub(crate) const CODES: &str = "\
Exit codes:
  0  done; also where everything was so already
  1  failed: the message says why, and whether to try again
  2  the command line is wrong; nothing was tried
  3  what it names is not there
  4  refused, and nothing was changed: it exists already, its status does not allow it, or it
     was not confirmed
  5  done in part: run the same command again for the rest";

/// An end that is neither success nor a failure.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Stop {
    /// What was asked for is not there.
    #[error("there is no {0}")]
    Missing(String),
    /// Nothing was changed, for a reason that the operator can do something about.
    #[error("{0}")]
    Refused(String),
    /// Some of many things failed.
    #[error("{0}")]
    Partial(String),
}

/// A command line that is wrong, as only its meaning shows.
pub(crate) fn usage(text: impl fmt::Display) -> anyhow::Error {
    crate::Arguments::command().error(ErrorKind::InvalidValue, text).into()
}

/// Tells the operator what went wrong, and returns the code to exit with.
#[must_use]
pub fn report(error: &anyhow::Error) -> ExitCode {
    // The reader of a pipe, such as head(1), has all that it wanted.
    let is_closed_pipe = |it: &io::Error| it.kind() == io::ErrorKind::BrokenPipe;
    if error.chain().filter_map(|it| it.downcast_ref()).any(is_closed_pipe) {
        return ExitCode::SUCCESS;
    }
    if let Some(usage) = error.downcast_ref::<clap::Error>() {
        // Where standard error is closed nobody wants to know.
        let _ = usage.print();
        return ExitCode::from(2);
    }
    eprintln!("birthcert: {error:#}");
    ExitCode::from(code(error))
}

/// The operator's error, whether a command or the store returned it.
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
        | OperatorError::OtherNames(_) => 4,
    });
    let by_stop = error.chain().find_map(|it| it.downcast_ref()).map(|it| match it {
        Stop::Missing(_) => 3,
        Stop::Refused(_) => 4,
        Stop::Partial(_) => 5,
    });
    let by_agent = error.is::<birthcert_agent::Busy>().then_some(4);
    by_ours.or(by_stop).or(by_agent).unwrap_or(1)
}

/// What `csv` wraps; the pipe's reader may be gone.
pub(crate) fn unwrapped(error: csv::Error) -> anyhow::Error {
    let io = error.source().and_then(|it| it.downcast_ref::<io::Error>()).map(io::Error::kind);
    io.map_or_else(|| error.into(), |kind| io::Error::from(kind).into())
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
        assert_eq!(code(&Stop::Refused("no".into()).into()), 4);
        assert_eq!(code(&Stop::Partial("some".into()).into()), 5);
        assert_eq!(code(&ledger::Error::Contended.into()), 1);
        assert_eq!(code(&anyhow::anyhow!("else")), 1);
    }
}
