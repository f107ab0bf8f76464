//! `birthcert token create`.

use getrandom::{SysRng, rand_core::UnwrapErr};
use ledger::store::NewToken;
use pki::{
    clock::Timestamp,
    names::{AddressRange, AddressRanges, Label, TokenId},
    token::EnrollmentToken,
};

use super::secret;
use crate::{
    context::Context,
    error::usage,
    options::{project::ProjectOption, time},
};

pub(crate) const EXAMPLES: &str = "\
Examples:
  # For a batch of 500 devices, from the factory's networks, until the end of March
  birthcert token create --batch-label March --device-cap 500 --expires-at 2027-04-01 \\
      --allow-from 203.0.113.0/24 --allow-from 2001:db8:40::/48

  # For a script
  birthcert token create --output json | jq -r .enrollment_token";

#[derive(clap::Args)]
pub(crate) struct CreateCommand {
    #[command(flatten)]
    project: ProjectOption,
    /// Label of the batch of devices that the token is for. The default is none.
    #[arg(long, value_name = "LABEL")]
    batch_label: Option<Label>,
    /// Time at which the token expires, such as 2027-01-31T12:00:00Z or 2027-01-31. The default is no
    /// expiry.
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    expires_at: Option<Timestamp>,
    /// Number of devices that can enroll with the token. The default is no cap.
    #[arg(long, value_name = "DEVICES", value_parser = clap::value_parser!(u64).range(1..))]
    device_cap: Option<u64>,
    /// Address range from which devices can enroll: IPv4 or IPv6, in CIDR notation, or a single address.
    /// Repeat for several. The default is any address.
    #[arg(long, value_name = "CIDR")]
    allow_from: Vec<AddressRange>,
}

impl CreateCommand {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<()> {
        if let Some(time) = self.expires_at.filter(|time| *time <= context.now) {
            return Err(usage(format!(
                "--expires-at {time} is past: no device could enroll with the token"
            )));
        }
        let new = NewToken {
            batch_label: self.batch_label,
            expires_at: self.expires_at,
            device_cap: self.device_cap,
            address_ranges: ranges(self.allow_from)?,
        };
        let rng = &mut UnwrapErr(SysRng);
        let token = EnrollmentToken::generate(self.project.project, TokenId::generate(rng), rng);
        context.store.create_token(&token, new, context.now).await?;
        secret::print(context, &token)
    }
}

/// Returns the address ranges; none means any address.
pub(super) fn ranges(given: Vec<AddressRange>) -> anyhow::Result<Option<AddressRanges>> {
    if given.is_empty() { Ok(None) } else { Ok(Some(given.try_into().map_err(usage)?)) }
}
