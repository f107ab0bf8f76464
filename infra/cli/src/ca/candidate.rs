//! A certified subordinate, as the operator hands it in.

use std::path::PathBuf;

use pki::authority::{AuthorityName, AuthorityRecord};

use super::{chain::Above, http_url, naming::UsageName, request::Key};
use crate::{Context, files::read, succession::Known};

/// All of it or nothing: which, the command says.
#[derive(clap::Args)]
pub(super) struct Candidate {
    /// What it issues.
    #[arg(long, value_enum, requires_all = ["certificate", "root_certificate"])]
    usage: Option<UsageName>,
    /// The CA's name, for good: its usage, or its usage with a suffix, as in device-2. A new one gets
    /// the next number unless told.
    #[arg(long, value_name = "NAME")]
    pub(super) name: Option<AuthorityName>,
    #[command(flatten)]
    key: Key,
    #[command(flatten)]
    distribution: Distribution,
    /// The subordinate's certificate.
    #[arg(long, value_name = "FILE", requires = "usage")]
    certificate: Option<PathBuf>,
    #[command(flatten)]
    above: Above,
}

#[derive(clap::Args)]
pub(super) struct Distribution {
    /// Where the subordinate's CRL will be found for as long as its certificates live: a name that
    /// you own.
    #[arg(long, value_name = "URL", value_parser = http_url, requires = "usage")]
    pub(super) crl_url: Option<String>,
}

impl Candidate {
    /// What would be recorded of it, if there is one.
    ///
    /// # Errors
    /// When its files, its name or its key cannot be used.
    pub(super) async fn record(
        &self,
        context: &Context,
        known: &Known,
    ) -> anyhow::Result<Option<AuthorityRecord>> {
        let Self { usage, name, key, distribution, certificate, above } = self;
        let (Some(usage), Some(certificate), Some(root)) =
            (usage, certificate, &above.root_certificate)
        else {
            return Ok(None);
        };
        let certificate_pem = read(certificate)?;
        let name = match name {
            Some(name) => usage.expect_of(name)?.clone(),
            None => known.name_for(usage.usage(), &certificate_pem),
        };
        let (intermediates_pem, root_pem) = above.read(root, &certificate_pem)?;
        let key_arn = key.find(context, &name).await?.made()?;
        Ok(Some(AuthorityRecord {
            name,
            key_arn,
            certificate_pem,
            intermediates_pem,
            root_pem,
            crl_url: distribution.crl_url.clone(),
            created_at: context.now,
        }))
    }
}
