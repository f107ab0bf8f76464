//! `birthcert-agent`: beside a broker, where there is no AWS.

use std::process::ExitCode;

use birthcert_agent::{Busy, Command, run};
use clap::Parser;

/// Keeps a broker's CRLs and denied devices up to date, and ends the sessions of the denied.
#[derive(Parser)]
#[command(name = "birthcert-agent", version, propagate_version = true, max_term_width = 100)]
#[command(after_help = "\
Exit codes:
  0  stopped as it was told; with --once, everything is up to date
  1  failed: the message says why. What the broker has stays in force
  2  the command line is wrong; nothing was tried
  4  another agent is at work in the directory")]
struct Arguments {
    /// What --once prints: text for people, or JSON for programs.
    #[arg(long, global = true, value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    broker: Command,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    #[default]
    Text,
    Json,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Arguments { output, broker } = Arguments::parse();
    match run(&broker, output == Format::Json).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("birthcert-agent: {error:#}");
            ExitCode::from(if error.is::<Busy>() { 4 } else { 1 })
        }
    }
}
