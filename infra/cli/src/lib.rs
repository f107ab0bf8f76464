//! The operator's side of birthcert: the ceremony, projects, enrollment tokens, devices, brokers.
//!
//! The command `birthcert` is a thin shell around this library; the local stack and the tests hold
//! their ceremonies with the same code.

mod aws;
mod broker;
mod ca;
pub mod ceremony;
mod confirm;
mod crl;
mod csr;
mod device;
#[cfg(test)]
mod documented;
mod exit;
mod fields;
mod files;
mod listing;
mod moment;
mod output;
mod place;
mod plan;
mod progress;
mod project;
pub mod root;
mod secret;
mod stack;
pub mod succession;
mod token;
mod transcript;

pub use exit::report;
pub use files::{ensure_private_directory, write_new, write_private};

use std::io::Write;

use clap::{CommandFactory, Parser, Subcommand};
use ledger::{OperatorError, store::Store};
use output::Format;
use pki::{clock::Timestamp, names::ProjectId};

/// A certificate authority for devices: what its operators do.
#[derive(Parser)]
#[command(name = "birthcert", version, propagate_version = true, max_term_width = 100)]
#[command(after_help = format!("\
{}

AWS is reached as the AWS CLI reaches it: region, credentials and endpoints come from the environment \
and from ~/.aws. For a stack on this machine: eval \"$(birthcert-local env --data DIR)\"", exit::CODES))]
pub struct Arguments {
    #[command(flatten)]
    place: place::Place,
    /// Text for people, JSON for programs, or of some lists CSV.
    #[arg(long, global = true, value_enum, default_value_t)]
    output: Format,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// The root and the subordinate CAs.
    #[command(subcommand)]
    Ca(ca::Command),
    /// Projects: a fleet and the policy for its certificates.
    #[command(subcommand)]
    Project(project::Command),
    /// Enrollment tokens: what lets devices into a project.
    #[command(subcommand)]
    Token(token::Command),
    /// Devices.
    #[command(subcommand)]
    Device(device::Command),
    /// The lists of revoked certificates.
    #[command(subcommand)]
    Crl(crl::Command),
    /// Certificates, users and configurations for brokers and the services around them.
    #[command(subcommand)]
    Broker(broker::Command),
    /// Print what makes a shell complete this command's arguments.
    #[command(after_help = COMPLETIONS, args = place::hidden())]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

const COMPLETIONS: &str = "\
Examples:
  source <(birthcert completions bash)      # in ~/.bashrc
  birthcert completions zsh > ~/.zfunc/_birthcert
  birthcert completions fish > ~/.config/fish/completions/birthcert.fish";

/// What a command works with.
struct Context {
    store: Store,
    kms: aws_sdk_kms::Client,
    output: Format,
    now: Timestamp,
}

impl Context {
    /// An empty list of a project that does not exist would hide a mistyped id.
    async fn expect_project(&self, id: ProjectId) -> ledger::Result<()> {
        let project = self.store.project(id).await?;
        let missing = || OperatorError::Missing(format!("project {id}")).into();
        project.map(drop).ok_or_else(missing)
    }
}

/// Carries out a command.
///
/// # Errors
/// What went wrong, for the operator.
pub async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { place, output, command } = arguments;
    let now = Timestamp::now();
    let command = match command {
        // The root's part of the ceremony happens on a machine without network.
        Command::Ca(command) => match command.without_aws(output, now)? {
            Some(rest) => Command::Ca(rest),
            None => return Ok(()),
        },
        Command::Broker(command) => match command.without_aws(output, now).await? {
            Some(rest) => Command::Broker(rest),
            None => return Ok(()),
        },
        other => other,
    };
    if let Command::Completions { shell } = command {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Arguments::command(), "birthcert", &mut script);
        return Ok(std::io::stdout().write_all(&script)?);
    }
    let place = place.or_of_environment()?;
    let config = aws::config().await?;
    let table = place.table(&config).await?;
    let store = Store::new(aws_sdk_dynamodb::Client::new(&config), table);
    let context = Context { store, kms: aws_sdk_kms::Client::new(&config), output, now };
    match command {
        Command::Ca(command) => command.run(&context).await,
        Command::Project(command) => command.run(&context).await,
        Command::Token(command) => command.run(&context).await,
        Command::Device(command) => command.run(&context).await,
        Command::Crl(command) => command.run(&context).await,
        Command::Broker(command) => command.run(&context).await,
        Command::Completions { .. } => Ok(()),
    }
}
