//! `birthcert ca activate`: puts a certified subordinate to use.

use std::{fmt, path::PathBuf};

use birthcert::authority::{Authority, AuthorityRecord};
use serde::Serialize;

use super::{http_url, naming::UsageName, read, request::Key};
use crate::{Context, ceremony};

#[derive(clap::Args)]
pub(crate) struct ActivateCommand {
    /// What it issues, and its name in the API.
    #[arg(long, value_enum)]
    usage: UsageName,
    #[command(flatten)]
    key: Key,
    #[command(flatten)]
    distribution: Distribution,
    /// The subordinate's certificate.
    #[arg(long, value_name = "FILE")]
    certificate: PathBuf,
    /// The root's certificate.
    #[arg(long, value_name = "FILE")]
    root_certificate: PathBuf,
}

#[derive(clap::Args)]
pub(crate) struct Distribution {
    /// Where the subordinate's CRL will be found for as long as its certificates live: a name that
    /// you own.
    #[arg(long, value_name = "URL", value_parser = http_url)]
    pub(super) crl_url: Option<String>,
}

#[derive(Serialize)]
struct Activated {
    name: String,
    key_arn: String,
    subject: String,
    not_after: String,
}

impl fmt::Display for Activated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "The CA {:?} can issue.", self.name)?;
        writeln!(f, "Subject: {}, valid until {}", self.subject, self.not_after)?;
        write!(f, "Key:     {}", self.key_arn)
    }
}

impl ActivateCommand {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<()> {
        let key_arn = self.key.arn(context, self.usage).await?;
        let record = AuthorityRecord {
            name: self.usage.name().into(),
            key_arn,
            certificate_pem: read(&self.certificate)?,
            root_pem: read(&self.root_certificate)?,
            crl_url: self.distribution.crl_url,
            created_at: context.now,
        };
        activate(context, self.usage, record).await
    }
}

pub(super) async fn activate(
    context: &Context,
    usage: UsageName,
    record: AuthorityRecord,
) -> anyhow::Result<()> {
    let authority = Authority::try_from(record.clone())?;
    // A CA that could issue nothing would keep its name from one that can.
    authority.check(usage.usage(), context.now, context.now)?;
    let certificate = authority.certificate();
    ceremony::activate(&context.store, &context.kms, record.clone()).await?;
    context.output.print(&Activated {
        name: record.name,
        key_arn: record.key_arn,
        subject: certificate.subject().to_string(),
        not_after: certificate.not_after().to_string(),
    })
}
