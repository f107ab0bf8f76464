//! `birthcert`: the operator's command.

use std::process::ExitCode;

use clap::Parser;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match birthcert_cli::run(birthcert_cli::Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => birthcert_cli::report(&error),
    }
}
