//! Errors that a command itself detects.

use std::fmt;

/// An error with an exit code of its own.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    /// Something that the command names does not exist.
    #[error("there is no {0}")]
    Missing(String),
    /// Nothing was changed, for a reason that the operator can resolve.
    #[error("{0}")]
    Refused(String),
    /// Some of several items failed.
    #[error("{0}")]
    Partial(String),
    /// The command line parses, but its values are not valid.
    #[error("{0}")]
    Usage(String),
}

/// Returns an error about the command line.
pub(crate) fn usage(text: impl fmt::Display) -> anyhow::Error {
    CommandError::Usage(text.to_string()).into()
}
