//! `birthcert ca request`, and the keys of subordinate CAs in KMS.

use std::{fmt, path::PathBuf};

use ledger::kms::Signer;
use pki::{authority::AuthorityName, signing::CaPublicKey};
use serde::Serialize;
use spki::SubjectPublicKeyInfoOwned;

use super::naming::NameOptions;
use crate::{
    ceremony::{self, consent::Consent, plan::Plan},
    context::Context,
    error::CommandError,
    files::{expect_new, write_new},
    root::draft::DraftKey,
};

pub(super) const EXAMPLES: &str = "\
Examples:
  birthcert ca request --usage device --csr device.csr --yes

  # For the successor of this CA
  birthcert ca request --usage device --name device-2 --csr device-2.csr --yes";

#[derive(clap::Args)]
pub(crate) struct RequestCommand {
    #[command(flatten)]
    naming: NameOptions,
    #[command(flatten)]
    key: KmsKeyOption,
    /// File to write the CSR to.
    #[arg(long, value_name = "FILE")]
    csr: PathBuf,
    #[command(flatten)]
    consent: Consent,
}

#[derive(clap::Args)]
pub(crate) struct KmsKeyOption {
    /// Key in KMS, by id, ARN or alias. The default is alias/birthcert-TABLE-NAME, which `ca request`
    /// and `ca subordinate` create.
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
        writeln!(f, "Key in KMS: {}", self.key_arn)?;
        write!(f, "CSR:        {}", self.csr.display())
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
            .step(format!("request the subject {subject}"))
            .step(format!("write the CSR, signed with that key, to {}", csr.display()));
        if !consent.given_or_print(context.output, plan)? {
            return Ok(());
        }
        let request = make_request(context, &naming, key).await?;
        write_new(&csr, &request.csr_pem)?;
        context.output.print(&Requested { key_arn: request.key_arn, csr })
    }
}

/// The key of a subordinate CA in KMS.
pub(super) enum KmsKey {
    /// An existing key with this ARN.
    Existing(String),
    /// A key to be created with this alias.
    Planned(String),
}

impl KmsKeyOption {
    pub(super) async fn find(
        &self,
        context: &Context,
        name: &AuthorityName,
    ) -> anyhow::Result<KmsKey> {
        let table = context.store.table_name();
        let alias = format!("alias/birthcert-{table}-{name}");
        let name = self.key.as_ref().unwrap_or(&alias);
        match ceremony::find_key(&context.kms, name).await? {
            Some(arn) => Ok(KmsKey::Existing(arn)),
            None if self.key.is_none() => Ok(KmsKey::Planned(alias)),
            None => Err(missing(name)),
        }
    }
}

impl KmsKey {
    /// Returns the step of a plan.
    pub(super) fn step(&self) -> String {
        match self {
            Self::Existing(arn) => format!("use the existing key {arn} in KMS"),
            Self::Planned(alias) => format!("create a key in KMS with the alias {alias}"),
        }
    }

    /// Returns the ARN of an existing key.
    ///
    /// # Errors
    /// If the key does not exist.
    pub(super) fn into_arn(self) -> anyhow::Result<String> {
        match self {
            Self::Existing(arn) => Ok(arn),
            Self::Planned(alias) => Err(missing(&alias)),
        }
    }

    /// Returns the public key for a draft.
    pub(super) async fn public_key(
        &self,
        context: &Context,
    ) -> anyhow::Result<(SubjectPublicKeyInfoOwned, DraftKey)> {
        match self {
            Self::Existing(arn) => {
                let key = Signer::new(context.kms.clone(), arn).public_key().await?;
                Ok((key, DraftKey::Known))
            }
            Self::Planned(_) => Ok((CaPublicKey::placeholder()?.spki()?, DraftKey::Planned)),
        }
    }
}

fn missing(key: &str) -> anyhow::Error {
    CommandError::Missing(format!("key {key} in KMS")).into()
}

pub(super) async fn make_request(
    context: &Context,
    naming: &NameOptions,
    key: KmsKey,
) -> anyhow::Result<ceremony::Request> {
    let key_arn = match key {
        KmsKey::Existing(arn) => arn,
        KmsKey::Planned(alias) => ceremony::ensure_key(&context.kms, &alias).await?,
    };
    let organization = naming.organization.as_deref();
    ceremony::request(&context.kms, key_arn, &naming.common_name()?, organization).await
}
