//! The command line of the program `birthcert-agent`.

use clap::Parser;

use crate::brokers::Command;

/// Keep a broker's CRLs and denied devices up to date, and end the sessions of denied devices.
#[derive(Parser)]
#[command(name = "birthcert-agent", version, propagate_version = true, max_term_width = 100)]
#[command(after_help = "\
Exit codes:
  0  stopped by a signal; with --once, everything is up to date
  1  failed: the message says why; the broker's files stay in force
  2  invalid command line; nothing was done
  4  another agent is using the directory")]
pub struct Arguments {
    /// Output format of --once: text for people, JSON for programs.
    #[arg(long, global = true, value_enum, default_value_t)]
    pub output: Format,
    /// The broker, and the agent's options.
    #[command(flatten)]
    pub broker: Command,
}

/// An output format.
#[derive(Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON document.
    Json,
}

#[cfg(test)]
mod help {
    use clap::CommandFactory as _;

    use super::Arguments;

    help_snapshots::tests!(Arguments::command(), 11);
}
