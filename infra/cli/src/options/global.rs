//! Options of every command.

use clap::ArgAction;

use crate::{aws::table::TableSelector, output::format::Format};

#[derive(clap::Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct GlobalOptions {
    #[command(flatten)]
    pub(crate) table: TableSelector,
    /// Output format: text, json, jsonl or csv. See `birthcert --help`.
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    #[arg(hide_possible_values = true)]
    pub(crate) output: Format,
    /// Print help; -h prints a summary.
    #[arg(long, short, global = true, action = ArgAction::Help)]
    help: Option<bool>,
    /// Print the version.
    #[arg(long, short = 'V', global = true, action = ArgAction::Version)]
    version: Option<bool>,
}
