//! The command line.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand};

use crate::{
    api, kms,
    stack::{self, StackInfo},
};

/// Run the whole birthcert stack on one machine, without an AWS account.
///
/// For development only: the CA keys are files on this machine.
#[derive(Parser)]
#[command(name = "birthcert-local", version, max_term_width = 100, after_help = EXAMPLES)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the stack until SIGINT or SIGTERM.
    ///
    /// The first start creates a root, two subordinate CAs, a project and an enrollment token.
    #[command(after_help = SERVE_EXAMPLES)]
    Serve {
        #[command(flatten)]
        listen: Listen,
        /// Directory for all data of the stack: the table, the keys and local.json.
        #[arg(long, value_name = "DIR")]
        data: PathBuf,
    },
    /// Run only the API, with DynamoDB and KMS in LocalStack or elsewhere.
    ///
    /// Configure it with the environment variables of the functions in Lambda: TABLE_NAME,
    /// AWS_REGION, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. Set the endpoints with
    /// AWS_ENDPOINT_URL, or with AWS_ENDPOINT_URL_DYNAMODB and AWS_ENDPOINT_URL_KMS.
    #[command(after_help = API_EXAMPLES)]
    Api {
        #[command(flatten)]
        listen: Listen,
    },
    /// Print local.json as shell exports, for birthcert and the AWS CLI.
    #[command(after_help = ENV_EXAMPLES)]
    Env {
        /// Directory of the stack.
        #[arg(long, value_name = "DIR")]
        data: PathBuf,
    },
    /// Run the stand-in for KMS, which serve starts as a separate process.
    #[command(hide = true)]
    Kms {
        /// Directory for the keys.
        #[arg(long, value_name = "DIR")]
        data: PathBuf,
        /// Region in the ARNs of the keys.
        #[arg(long)]
        region: String,
    },
}

const EXAMPLES: &str = "\
Examples:
  birthcert-local serve --data stack

  # in another shell
  eval \"$(birthcert-local env --data stack)\"
  birthcert device list";

const SERVE_EXAMPLES: &str = "\
Examples:
  birthcert-local serve --data stack
  birthcert-local serve --data stack --listen 127.0.0.1:0";

const API_EXAMPLES: &str = "\
Examples:
  export TABLE_NAME=birthcert AWS_REGION=us-east-1
  export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test
  export AWS_ENDPOINT_URL=http://127.0.0.1:4566
  birthcert-local api";

const ENV_EXAMPLES: &str = "\
Examples:
  eval \"$(birthcert-local env --data stack)\"
  birthcert device list";

#[derive(Args)]
struct Listen {
    /// Address of the API; port 0 selects a free port. Any address other than loopback exposes the
    /// API to the network.
    #[arg(long = "listen", default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    address: SocketAddr,
}

impl Arguments {
    /// Runs the command.
    ///
    /// # Errors
    /// If the command fails.
    pub async fn run(self) -> anyhow::Result<()> {
        match self.command {
            Command::Serve { listen, data } => stack::serve(listen.address, &data).await,
            Command::Api { listen } => api::serve(listen.address).await,
            Command::Env { data } => {
                print!("{}", StackInfo::read(&data)?.exports());
                Ok(())
            }
            Command::Kms { data, region } => kms::run(data, region).await,
        }
    }
}

#[cfg(test)]
mod help {
    use clap::CommandFactory as _;

    use super::Arguments;

    help_snapshots::tests!(Arguments::command(), 5);
}
