//! Options that describe a certified subordinate CA.

use std::path::PathBuf;

use pki::authority::{AuthorityName, AuthorityRecord};

use super::{chain::ChainFiles, naming::UsageOption, request::KmsKeyOption, url::http_url};
use crate::{ceremony::authorities::RecordedAuthorities, context::Context, files::read};

/// A certified subordinate CA. All options or none: the command decides.
#[derive(clap::Args)]
pub(super) struct CertifiedCaOptions {
    /// Kind of certificates that the CA issues.
    #[arg(long, value_enum, requires_all = ["certificate", "root_certificate"])]
    usage: Option<UsageOption>,
    /// Permanent name of the CA: its usage, or its usage with a suffix, such as device-2. The default
    /// for a new CA is the next free number.
    #[arg(long, value_name = "NAME")]
    pub(super) name: Option<AuthorityName>,
    #[command(flatten)]
    key: KmsKeyOption,
    #[command(flatten)]
    distribution: CrlUrlOption,
    /// Certificate of the subordinate CA.
    #[arg(long, value_name = "FILE", requires = "usage")]
    certificate: Option<PathBuf>,
    #[command(flatten)]
    above: ChainFiles,
}

#[derive(clap::Args)]
pub(super) struct CrlUrlOption {
    /// URL of the subordinate's CRL in the certificates that it issues. It must work until these expire:
    /// use a domain name that you own.
    #[arg(long, value_name = "URL", value_parser = http_url, requires = "usage")]
    pub(super) crl_url: Option<String>,
}

impl CertifiedCaOptions {
    /// Returns the record of the CA, if the options describe one.
    ///
    /// # Errors
    /// If its files, name or key are not valid.
    pub(super) async fn record(
        &self,
        context: &Context,
        known: &RecordedAuthorities,
    ) -> anyhow::Result<Option<AuthorityRecord>> {
        let Self { usage, name, key, distribution, certificate, above } = self;
        let (Some(usage), Some(certificate), Some(root)) =
            (usage, certificate, &above.root_certificate)
        else {
            return Ok(None);
        };
        let certificate_pem = read(certificate)?;
        let name = match name {
            Some(name) => usage.expect_name(name)?.clone(),
            None => known.name_for(usage.usage(), &certificate_pem),
        };
        let (intermediates_pem, root_pem) = above.read(root, &certificate_pem)?;
        let key_arn = key.find(context, &name).await?.into_arn()?;
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
