//! `birthcert broker`: certificates, users and configurations for brokers and the services around
//! them.

mod aws_iot;
mod config;
mod directory;
mod held;
mod issue;
mod list;
mod renew;
mod revocation;
mod revoke;
mod users;

use pki::clock::Timestamp;

use crate::{Context, output::Format};

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Issue a broker's certificate, with a key that is made here and never leaves this machine, or
    /// for the key of a request.
    #[command(after_help = issue::EXAMPLES)]
    Issue(issue::IssueCommand),
    /// Issue a client's certificate for a service: a bridge, a back end, or with --peer a node of a
    /// cluster.
    #[command(after_help = issue::CLIENT_EXAMPLES)]
    IssueClient(issue::IssueClientCommand),
    /// Renew a certificate that is about to expire. Does nothing when it is not: made for cron.
    #[command(after_help = renew::EXAMPLES)]
    Renew(renew::RenewCommand),
    /// Revoke what was issued to a broker or a service.
    Revoke(revoke::RevokeCommand),
    /// List what was issued to brokers and services, oldest first.
    #[command(after_help = "Example:\n  birthcert broker list")]
    List,
    /// Write the users of a broker that wants each device as one.
    #[command(after_help = users::EXAMPLES)]
    Users(users::UsersCommand),
    /// Write a broker's configuration: mutual TLS, and topics of its own for each device.
    #[command(subcommand)]
    Config(config::Command),
    /// Keep a broker's CRLs and denied devices up to date: the agent, which is the program
    /// `birthcert-agent`, too.
    Sync(Box<birthcert_agent::Command>),
}

impl Command {
    /// Does what needs no AWS. Gives back what is left to do with it.
    pub(crate) async fn without_aws(
        self,
        output: Format,
        now: Timestamp,
    ) -> anyhow::Result<Option<Self>> {
        match self {
            Self::Renew(command) => Ok(command.unless_due(output, now)?.map(Self::Renew)),
            Self::Users(command) => Ok(command.of_known_devices(output)?.map(Self::Users)),
            Self::Config(command) => Ok(command.without_aws(output)?.map(Self::Config)),
            Self::Sync(command) => {
                output.expect_document()?;
                birthcert_agent::run(&command, output != Format::Text).await?;
                Ok(None)
            }
            other => Ok(Some(other)),
        }
    }

    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<()> {
        match self {
            Self::Issue(command) => command.run(context).await,
            Self::IssueClient(command) => command.run(context).await,
            Self::Renew(command) => command.run(context).await,
            Self::Revoke(command) => command.run(context).await,
            Self::List => list::run(context).await,
            Self::Users(command) => command.run(context).await,
            Self::Config(command) => command.run(context).await,
            // Done without AWS.
            Self::Sync(_) => Ok(()),
        }
    }
}
