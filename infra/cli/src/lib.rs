//! The operator's command of birthcert: CAs, projects, enrollment tokens, devices and brokers.
//!
//! The program `birthcert` is a thin wrapper around this library. The local stack and the tests set up
//! their CAs with the same code.

mod arguments;
mod aws;
mod broker;
mod ca;
pub mod ceremony;
mod context;
mod crl;
mod device;
mod error;
mod exit;
mod files;
mod help;
mod options;
mod output;
mod pinned_roots;
mod project;
mod redaction;
pub mod root;
mod token;

pub use {
    arguments::Arguments,
    exit::report,
    files::{ensure_private_directory, write_new, write_private},
};

use std::io::Write;

use clap::CommandFactory;
use ledger::store::Store;
use pki::clock::Timestamp;

use arguments::Command;
use aws::{clock::ClockCheck, table::TableLocation};
use context::Context;
use options::global::GlobalOptions;

/// Runs a command.
///
/// # Errors
/// If the command fails; [`report`] prints the error and returns the exit code.
pub async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { global: GlobalOptions { table, output, .. }, command } = arguments;
    if command.prints_document() {
        output.expect_document()?;
    }
    let now = Timestamp::now();
    let command = match command {
        // The root's part of the ceremony happens on a machine without a network.
        Command::Ca(command) => match command.run_offline(output, now)? {
            Some(rest) => Command::Ca(rest),
            None => return Ok(()),
        },
        Command::Broker(command) => match command.run_offline(output, now).await? {
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
    let selector = table.or_from_environment()?;
    let config = aws::sdk::config().await?;
    let TableLocation { table, pin } = selector.locate(&config).await?;
    let clock = ClockCheck::default();
    let dynamodb = aws_sdk_dynamodb::config::Builder::from(&config).interceptor(clock.clone());
    let dynamodb = aws_sdk_dynamodb::Client::from_conf(dynamodb.build());
    let kms = aws_sdk_kms::config::Builder::from(&config).interceptor(clock.clone());
    let kms = aws_sdk_kms::Client::from_conf(kms.build());
    if command.writes() {
        clock.ask(&dynamodb, &table).await;
        clock.expect_right()?;
    }
    let store = Store::new(dynamodb, table);
    let context = Context { store, kms, output, now, stack_pin: pin };
    let result = match command {
        Command::Ca(command) => command.run(&context).await,
        Command::Project(command) => command.run(&context).await,
        Command::Token(command) => command.run(&context).await,
        Command::Device(command) => command.run(&context).await,
        Command::Crl(command) => command.run(&context).await,
        Command::Broker(command) => command.run(&context).await,
        Command::Completions { .. } => Ok(()),
    };
    clock.warn();
    result
}
