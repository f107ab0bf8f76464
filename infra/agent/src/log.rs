//! The agent's log: one event per line, on standard error.

use std::{
    fmt,
    io::{self, Write as _},
    sync::OnceLock,
};

use pki::clock::Timestamp;
use serde_json::json;

/// The format of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// Plain text, for people.
    #[default]
    Text,
    /// JSON Lines, for programs.
    Json,
}

#[derive(Clone, Copy)]
enum Level {
    Info,
    Warn,
    Error,
}

/// Set once, before the first event.
static FORMAT: OnceLock<Format> = OnceLock::new();

pub(crate) fn set_format(format: Format) {
    let _ = FORMAT.set(format);
}

/// Logs a normal event.
pub(crate) fn info(message: impl fmt::Display) {
    write(Level::Info, &message);
}

/// Logs a problem that may become an error.
pub(crate) fn warn(message: impl fmt::Display) {
    write(Level::Warn, &message);
}

/// Logs a problem that an operator has to fix.
pub(crate) fn error(message: impl fmt::Display) {
    write(Level::Error, &message);
}

fn write(level: Level, message: &dyn fmt::Display) {
    let line = line(FORMAT.get().copied().unwrap_or_default(), level, message);
    // eprintln! would panic if the log is a file on a full disk.
    let _ = writeln!(io::stderr(), "{line}");
}

fn line(format: Format, level: Level, message: &dyn fmt::Display) -> String {
    let now = Timestamp::now();
    // A multi-line message, such as a command's output, stays one event.
    let message = message.to_string().replace('\n', " | ");
    match format {
        Format::Text => format!("{now} {} {message}", level.name()),
        Format::Json => json!({
            "timestamp": now.to_string(), "level": level.name(), "message": message,
        })
        .to_string(),
    }
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Self::Info => "INFO",
            Self::Warn => "WARN",
            Self::Error => "ERROR",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line() {
        for format in [Format::Text, Format::Json] {
            let line = line(format, Level::Warn, &"one\ntwo \"three\"");
            assert!(!line.contains('\n'), "{line}");
            assert!(line.contains("WARN") && line.contains("one | two"), "{line}");
        }
    }
}
