//! `birthcert-local`: the whole stack on one machine, for development.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

use birthcert_local::{api, kms_process, stack, state::State};
use clap::{Parser, Subcommand};

/// The whole of birthcert on one machine, without an AWS account: for development, not for devices
/// in the field.
#[derive(Parser)]
#[command(name = "birthcert-local", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the stack until SIGINT or SIGTERM.
    Serve {
        /// Where the API listens; port 0 means a free one. Anything but a loopback address lets
        /// others on the network in.
        #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
        listen: SocketAddr,
        /// Directory for everything the stack keeps: the table, the keys, local.json.
        #[arg(long, value_name = "DIR")]
        data: PathBuf,
    },
    /// Run the API alone, against a DynamoDB and a KMS that run elsewhere, such as in LocalStack.
    ///
    /// It is configured as the functions are in Lambda: TABLE_NAME, AWS_REGION, AWS_ACCESS_KEY_ID,
    /// AWS_SECRET_ACCESS_KEY, and AWS_ENDPOINT_URL for both or AWS_ENDPOINT_URL_DYNAMODB and
    /// AWS_ENDPOINT_URL_KMS.
    Api {
        /// Where the API listens; port 0 means a free one. Anything but a loopback address lets
        /// others on the network in.
        #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
        listen: SocketAddr,
    },
    /// Print local.json as shell exports, for `birthcert` and the AWS CLI.
    Env {
        /// Directory of the stack.
        #[arg(long, value_name = "DIR")]
        data: PathBuf,
    },
    /// The stand-in for KMS, which `serve` starts as a process of its own.
    #[command(hide = true)]
    Kms {
        /// Directory for its keys.
        #[arg(long, value_name = "DIR")]
        data: PathBuf,
        /// The region it plays.
        #[arg(long)]
        region: String,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Serve { listen, data } => stack::serve(listen, &data).await,
        Command::Api { listen } => api::serve(listen).await,
        Command::Env { data } => State::read(&data).map(|state| print!("{}", state.exports())),
        Command::Kms { data, region } => kms_process::main(data, region).await,
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("birthcert-local: {error:#}");
            ExitCode::FAILURE
        }
    }
}
