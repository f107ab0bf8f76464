//! Output formats.

use std::{
    fmt,
    io::{self, Write},
};

use serde::Serialize;
use serde_json::Value;

use super::table::escape_bidi;
use crate::error::usage;

// `birthcert --help` describes the values, once. Doc comments here would repeat them in every help text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    #[default]
    Text,
    Json,
    Jsonl,
    Csv,
}

impl Format {
    /// Prints one result.
    pub(crate) fn print<T: Serialize + fmt::Display>(self, result: &T) -> anyhow::Result<()> {
        let mut out = io::stdout().lock();
        match self {
            Self::Text => writeln!(out, "{}", escape_bidi(&result.to_string()))?,
            Self::Json => writeln!(out, "{}", serde_json::to_string_pretty(result)?)?,
            Self::Jsonl => match serde_json::to_value(result)? {
                Value::Array(items) => {
                    items.iter().try_for_each(|item| writeln!(out, "{item}"))?;
                }
                _ => writeln!(out, "{}", serde_json::to_string(result)?)?,
            },
            Self::Csv => return Err(Self::no_csv()),
        }
        Ok(())
    }

    /// Refuses CSV, before a command does anything whose result it could not print.
    pub(crate) fn expect_document(self) -> anyhow::Result<()> {
        if self == Self::Csv { Err(Self::no_csv()) } else { Ok(()) }
    }

    fn no_csv() -> anyhow::Error {
        usage("--output csv is for device list, device find, token list and token devices only")
    }
}
