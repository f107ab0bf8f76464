//! `birthcert-agent`, the agent as a program without AWS.

use std::process::ExitCode;

use birthcert_agent::{Command, DirectoryInUse, run};
use clap::Parser;

/// Keep a broker's CRLs and denied devices up to date, and end the sessions of denied devices.
#[derive(Parser)]
#[command(name = "birthcert-agent", version, propagate_version = true, max_term_width = 100)]
#[command(after_help = "\
Exit codes:
  0  stopped by a signal; with --once, everything is up to date
  1  failed: the message says why; the broker's files stay in force
  2  invalid command line; nothing was done
  4  another agent is using the directory")]
struct Arguments {
    /// Output format of --once: text for people, JSON for programs.
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
            ExitCode::from(if error.is::<DirectoryInUse>() { 4 } else { 1 })
        }
    }
}
