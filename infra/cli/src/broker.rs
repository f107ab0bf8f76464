//! `birthcert broker`: certificates, users and configurations of brokers and related services.

mod aws_iot;
mod certificate_directory;
mod config;
mod current;
mod deadline;
mod installed_roots;
mod issue;
mod list;
mod renew;
mod revocation;
mod revoke;
mod template;
mod users;

use pki::clock::Timestamp;

use crate::{context::Context, help::with_examples, output::format::Format};

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Issue a server certificate for a broker.
    ///
    /// Generates a key that never leaves this machine, or certifies the key of a certificate signing
    /// request (CSR).
    #[command(help_template = with_examples(issue::EXAMPLES))]
    Issue(issue::IssueCommand),
    /// Issue a client certificate for a service: a bridge, a back end or, with --peer, a cluster node.
    #[command(help_template = with_examples(issue::CLIENT_EXAMPLES))]
    IssueClient(issue::IssueClientCommand),
    /// Renew a certificate that is about to expire. Run it from cron.
    ///
    /// Changes nothing if the certificate is not due.
    #[command(help_template = with_examples(renew::EXAMPLES))]
    Renew(renew::RenewCommand),
    /// Revoke the certificates of a broker or a service.
    #[command(help_template = with_examples(revoke::EXAMPLES), after_help = revoke::NOTES)]
    Revoke(revoke::RevokeCommand),
    /// List the certificates of brokers and services, oldest first.
    #[command(help_template = with_examples("Example:\n  birthcert broker list"))]
    List,
    /// Write the user definitions of a broker that requires one user for each device.
    #[command(help_template = with_examples(users::EXAMPLES))]
    Users(users::UsersCommand),
    /// Write a broker's configuration, with mutual TLS and separate topics for each device.
    #[command(subcommand)]
    Config(config::Command),
    /// Run the agent, which keeps a broker's CRLs and denied devices up to date.
    ///
    /// The program `birthcert-agent` is the same agent.
    Sync(Box<birthcert_agent::Command>),
}

impl Command {
    /// Runs a command that needs no AWS; returns any other command.
    pub(crate) async fn run_offline(
        self,
        output: Format,
        now: Timestamp,
    ) -> anyhow::Result<Option<Self>> {
        match self {
            Self::Renew(command) => Ok(command.finish_unless_due(output, now)?.map(Self::Renew)),
            Self::Users(command) => Ok(command.write_given_devices(output)?.map(Self::Users)),
            Self::Config(command) => Ok(command.run_offline(output)?.map(Self::Config)),
            Self::Sync(command) => {
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
            // Runs offline.
            Self::Sync(_) => Ok(()),
        }
    }
}
