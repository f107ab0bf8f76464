//! `birthcert crl`: certificate revocation lists of the subordinate CAs.

mod publish;
mod request;
mod selection;
mod status;

pub(crate) use {
    request::{CrlRequests, request},
    status::is_valid,
};

use crate::{context::Context, help::with_examples};

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Show the published CRL of each CA: number, age, expiry and size.
    ///
    /// Shows what the publisher recorded in the table. Exits with 3 if a CA has no valid CRL.
    #[command(help_template = with_examples(status::EXAMPLES))]
    Status(selection::CaSelection),
    /// Request new CRLs, and wait until they are published.
    ///
    /// Revoking commands request a CRL automatically, and a check runs every hour. Use this command to
    /// verify that publishing works.
    #[command(help_template = with_examples(publish::EXAMPLES), after_help = publish::NOTES)]
    Publish(publish::PublishCommand),
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<()> {
        match self {
            Self::Status(selection) => status::run(selection, context).await,
            Self::Publish(command) => command.run(context).await,
        }
    }
}
