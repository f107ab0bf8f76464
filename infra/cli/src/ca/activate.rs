//! `birthcert ca activate`: puts a certified subordinate to use.

use std::{fmt, path::PathBuf};

use birthcert::{
    Error,
    authority::{Authority, AuthorityRecord},
    kms::Signer,
};
use serde::Serialize;

use super::{http_url, naming::UsageName, request::Key};
use crate::{Context, confirm::Consent, fields::Fields, files::read, plan::Plan};

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
    #[command(flatten)]
    consent: Consent,
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
        expect_vacant(context, self.usage).await?;
        let record = AuthorityRecord {
            name: self.usage.name().into(),
            key_arn: self.key.find(context, self.usage).await?.made()?,
            certificate_pem: read(&self.certificate)?,
            root_pem: read(&self.root_certificate)?,
            crl_url: self.distribution.crl_url,
            created_at: context.now,
        };
        let authority = check(context, self.usage, record).await?;
        let plan = Plan::new()
            .step(step(context, self.usage))
            .certificate(Fields::of_certificate(authority.certificate().der())?);
        if !self.consent.given(context.output, plan)? {
            return Ok(());
        }
        activate(context, &authority).await
    }
}

/// For a plan.
pub(super) fn step(context: &Context, usage: UsageName) -> String {
    let table = context.store.table_name();
    format!("put the CA {:?} to use, in the table {table}", usage.name())
}

/// Checks early that there is no such CA. What keeps it from being overwritten is how it is written.
pub(super) async fn expect_vacant(context: &Context, usage: UsageName) -> anyhow::Result<()> {
    match context.store.authority(usage.name()).await? {
        Some(_) => Err(Error::Exists(format!("CA named {}", usage.name())).into()),
        None => Ok(()),
    }
}

pub(super) async fn check(
    context: &Context,
    usage: UsageName,
    record: AuthorityRecord,
) -> anyhow::Result<Authority> {
    let authority = Authority::try_from(record)?;
    // A CA that could issue nothing would keep its name from one that can.
    authority.check(usage.usage(), context.now, context.now)?;
    Signer::new(context.kms.clone(), authority.key_arn()).check(&authority).await?;
    Ok(authority)
}

pub(super) async fn activate(context: &Context, authority: &Authority) -> anyhow::Result<()> {
    context.store.create_authority(authority.record()).await?;
    let certificate = authority.certificate();
    context.output.print(&Activated {
        name: authority.name().to_owned(),
        key_arn: authority.key_arn().to_owned(),
        subject: certificate.subject().to_string(),
        not_after: certificate.not_after().to_string(),
    })
}
