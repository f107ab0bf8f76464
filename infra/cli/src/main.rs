//! `birthcert`: the operator's command.

use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match birthcert_cli::run(birthcert_cli::Arguments::from_command_line()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => birthcert_cli::report(&error),
    }
}
