//! What the agent tells: a line an event, on standard error.

use std::{
    fmt,
    io::{self, Write as _},
    sync::OnceLock,
};

use pki::clock::Timestamp;
use serde_json::json;

/// How a line is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs: a JSON object a line.
    Json,
}

#[derive(Clone, Copy)]
enum Level {
    Info,
    Warn,
    Error,
}

/// Set once, before anything is told.
static FORMAT: OnceLock<Format> = OnceLock::new();

pub(crate) fn set(format: Format) {
    let _ = FORMAT.set(format);
}

/// What went as it should.
pub(crate) fn info(message: impl fmt::Display) {
    tell(Level::Info, &message);
}

/// What somebody should look at before it becomes an error.
pub(crate) fn warn(message: impl fmt::Display) {
    tell(Level::Warn, &message);
}

/// What somebody has to mend.
pub(crate) fn error(message: impl fmt::Display) {
    tell(Level::Error, &message);
}

fn tell(level: Level, message: &dyn fmt::Display) {
    let line = line(FORMAT.get().copied().unwrap_or_default(), level, message);
    // Not eprintln!, which panics where the log is a file and the disk is full.
    let _ = writeln!(io::stderr(), "{line}");
}

fn line(format: Format, level: Level, message: &dyn fmt::Display) -> String {
    let now = Timestamp::now();
    // A message of several lines, as a command's output is, is one event.
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
    fn an_event_is_a_line() {
        for format in [Format::Text, Format::Json] {
            let line = line(format, Level::Warn, &"one\ntwo \"three\"");
            assert!(!line.contains('\n'), "{line}");
            assert!(line.contains("WARN") && line.contains("one | two"), "{line}");
        }
    }
}
