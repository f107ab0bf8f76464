//! `birthcert-agent`, the agent as a program without AWS.

use std::process::ExitCode;

use birthcert_agent::{Arguments, DirectoryInUse, Format, run};
use clap::Parser;

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
