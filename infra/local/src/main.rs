//! `birthcert-local`: the whole stack on one machine, for development.

use std::process::ExitCode;

use birthcert_local::command::Arguments;
use clap::Parser;

#[tokio::main]
async fn main() -> ExitCode {
    match Arguments::parse().run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("birthcert-local: {error:#}");
            ExitCode::FAILURE
        }
    }
}
