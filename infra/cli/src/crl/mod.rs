//! `birthcert crl`: the lists of revoked certificates, as far as operators have to do with them.

mod publish;
mod request;
mod status;

use pki::authority::AuthorityRecord;
pub(crate) use {
    request::{Requests, request},
    status::is_good,
};

use crate::{Context, exit::Stop};

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Show each CA's list: its number, its age, until when it is good, how much is in it.
    #[command(after_help = status::EXAMPLES)]
    Status(Of),
    /// Ask for new lists, and wait until they are published.
    ///
    /// What revokes asks by itself, and every hour it is looked whether a list is due. This is for an
    /// operator who wants to see that it works.
    #[command(after_help = publish::EXAMPLES)]
    Publish(publish::PublishCommand),
}

#[derive(clap::Args)]
pub(crate) struct Of {
    /// Only of this CA, such as device.
    #[arg(long, value_name = "NAME")]
    ca: Option<String>,
}

impl Of {
    /// The CAs that are meant.
    async fn authorities(&self, context: &Context) -> anyhow::Result<Vec<AuthorityRecord>> {
        let known = context.store.authorities().await?;
        let is_meant = |name: &str| self.ca.as_deref().is_none_or(|ca| ca == name);
        let records = known.into_iter().map(|it| it.record);
        let records: Vec<_> = records.filter(|it| is_meant(it.name.as_str())).collect();
        match (&self.ca, records.is_empty()) {
            (Some(name), true) => Err(Stop::Missing(format!("CA named {name}")).into()),
            (None, true) => {
                let text = "CA yet: set one up with birthcert ca subordinate";
                Err(Stop::Missing(text.into()).into())
            }
            _ => Ok(records),
        }
    }
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<()> {
        match self {
            Self::Status(of) => status::run(of, context).await,
            Self::Publish(command) => command.run(context).await,
        }
    }
}
