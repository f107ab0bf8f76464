//! `birthcert ca request`, and the keys of subordinates in KMS.

use std::{fmt, path::PathBuf};

use anyhow::Context as _;
use serde::Serialize;

use super::naming::{Naming, UsageName};
use crate::{Context, ceremony, files::write_new};

#[derive(clap::Args)]
pub(crate) struct RequestCommand {
    #[command(flatten)]
    naming: Naming,
    #[command(flatten)]
    key: Key,
    /// Where to write the request.
    #[arg(long, value_name = "FILE")]
    csr: PathBuf,
}

#[derive(clap::Args)]
pub(crate) struct Key {
    /// The key in KMS to use, by id, ARN or alias. Unless given, one is made and gets the alias
    /// alias/birthcert-<table>-<usage>.
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
}

#[derive(Serialize)]
struct Requested {
    key_arn: String,
    csr: PathBuf,
}

impl fmt::Display for Requested {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "The subordinate's key in KMS: {}", self.key_arn)?;
        write!(f, "Its certificate request:      {}", self.csr.display())
    }
}

impl RequestCommand {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<()> {
        let Self { naming, key, csr } = self;
        let request = make_request(context, &naming, &key).await?;
        write_new(&csr, &request.csr_pem)?;
        context.output.print(&Requested { key_arn: request.key_arn, csr })
    }
}

impl Key {
    pub(super) async fn arn(&self, context: &Context, usage: UsageName) -> anyhow::Result<String> {
        match &self.key {
            Some(key) => {
                let found = context.kms.describe_key().key_id(key).send().await;
                let found = found.with_context(|| format!("KMS cannot describe the key {key}"))?;
                found.key_metadata.and_then(|it| it.arn).context("KMS names no ARN for the key")
            }
            None => {
                let table = context.store.table_name();
                let alias = format!("alias/birthcert-{table}-{}", usage.name());
                ceremony::ensure_key(&context.kms, &alias).await
            }
        }
    }
}

pub(super) async fn make_request(
    context: &Context,
    naming: &Naming,
    key: &Key,
) -> anyhow::Result<ceremony::Request> {
    let key_arn = key.arn(context, naming.usage).await?;
    let organization = naming.organization.as_deref();
    ceremony::request(&context.kms, key_arn, &naming.common_name(), organization).await
}
