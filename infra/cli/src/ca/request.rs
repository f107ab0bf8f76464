//! `birthcert ca request`, and the keys of subordinates in KMS.

use std::{fmt, path::PathBuf};

use ledger::kms::Signer;
use pki::{authority::AuthorityName, signing::CaPublicKey};
use serde::Serialize;
use spki::SubjectPublicKeyInfoOwned;

use super::naming::Naming;
use crate::{
    Context, ceremony,
    confirm::Consent,
    exit::Stop,
    fields::KeyState,
    files::{expect_new, write_new},
    plan::Plan,
};

pub(super) const EXAMPLES: &str = "\
Examples:
  birthcert ca request --usage device --csr device.csr --yes

  # For its successor
  birthcert ca request --usage device --name device-2 --csr device-2.csr --yes";

#[derive(clap::Args)]
pub(crate) struct RequestCommand {
    #[command(flatten)]
    naming: Naming,
    #[command(flatten)]
    key: Key,
    /// Where to write the request.
    #[arg(long, value_name = "FILE")]
    csr: PathBuf,
    #[command(flatten)]
    consent: Consent,
}

#[derive(clap::Args)]
pub(crate) struct Key {
    /// The key in KMS to use, by id, ARN or alias. Unless given, the one with the alias
    /// alias/birthcert-<table>-<name>, which `ca request` makes where it is not there.
    #[arg(long, value_name = "KEY", requires = "usage")]
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
        let Self { naming, key, csr, consent } = self;
        expect_new(&csr)?;
        let subject = naming.subject()?;
        let key = key.find(context, &naming.name()?).await?;
        let plan = Plan::new()
            .step(key.step())
            .step(format!("ask for the subject {subject}"))
            .step(format!("write the request, signed with that key, to {}", csr.display()));
        if !consent.given(context.output, plan)? {
            return Ok(());
        }
        let request = make_request(context, &naming, key).await?;
        write_new(&csr, &request.csr_pem)?;
        context.output.print(&Requested { key_arn: request.key_arn, csr })
    }
}

/// A subordinate's key in KMS.
pub(super) enum KmsKey {
    /// It is there and has this ARN.
    Made(String),
    /// It will be made and get this alias.
    ToBeMade(String),
}

impl Key {
    pub(super) async fn find(
        &self,
        context: &Context,
        name: &AuthorityName,
    ) -> anyhow::Result<KmsKey> {
        let table = context.store.table_name();
        let alias = format!("alias/birthcert-{table}-{name}");
        let name = self.key.as_ref().unwrap_or(&alias);
        match ceremony::find_key(&context.kms, name).await? {
            Some(arn) => Ok(KmsKey::Made(arn)),
            None if self.key.is_none() => Ok(KmsKey::ToBeMade(alias)),
            None => Err(missing(name)),
        }
    }
}

impl KmsKey {
    /// For a plan.
    pub(super) fn step(&self) -> String {
        match self {
            Self::Made(arn) => format!("use the key {arn} in KMS, which is there"),
            Self::ToBeMade(alias) => format!("make a key in KMS with the alias {alias}"),
        }
    }

    /// Its ARN; only for a key that is there.
    pub(super) fn made(self) -> anyhow::Result<String> {
        match self {
            Self::Made(arn) => Ok(arn),
            Self::ToBeMade(alias) => Err(missing(&alias)),
        }
    }

    /// Its public half, or what stands in for it as long as it is not made.
    pub(super) async fn public_key(
        &self,
        context: &Context,
    ) -> anyhow::Result<(SubjectPublicKeyInfoOwned, KeyState)> {
        match self {
            Self::Made(arn) => {
                let key = Signer::new(context.kms.clone(), arn).public_key().await?;
                Ok((key, KeyState::Made))
            }
            Self::ToBeMade(_) => Ok((CaPublicKey::placeholder()?.spki()?, KeyState::ToBeMade)),
        }
    }
}

fn missing(key: &str) -> anyhow::Error {
    Stop::Missing(format!("key {key} in KMS")).into()
}

pub(super) async fn make_request(
    context: &Context,
    naming: &Naming,
    key: KmsKey,
) -> anyhow::Result<ceremony::Request> {
    let key_arn = match key {
        KmsKey::Made(arn) => arn,
        KmsKey::ToBeMade(alias) => ceremony::ensure_key(&context.kms, &alias).await?,
    };
    let organization = naming.organization.as_deref();
    ceremony::request(&context.kms, key_arn, &naming.common_name()?, organization).await
}
