//! `birthcert token create`.

use getrandom::{SysRng, rand_core::UnwrapErr};
use ledger::store::NewToken;
use pki::{
    clock::Timestamp,
    names::{AddressRange, AddressRanges, Label, TokenId},
    token::EnrollmentToken,
};

use super::{Of, show};
use crate::{Context, exit::usage, moment};

pub(crate) const EXAMPLES: &str = "\
Examples:
  # A batch of 500, from the factory's networks, until the end of March
  birthcert token create --batch-label March --device-cap 500 --expires-at 2027-04-01 \\
      --allow-from 203.0.113.0/24 --allow-from 2001:db8:40::/48

  # For a script: the id and the token
  birthcert token create --output json | jq -r .enrollment_token";

#[derive(clap::Args)]
pub(crate) struct CreateCommand {
    #[command(flatten)]
    of: Of,
    /// For people: the batch of devices it is meant for.
    #[arg(long)]
    batch_label: Option<Label>,
    /// When it stops enrolling devices, as 2027-01-31T12:00:00Z or 2027-01-31.
    #[arg(long, value_name = "TIME", value_parser = moment::parse)]
    expires_at: Option<Timestamp>,
    /// How many devices it may enroll.
    #[arg(long, value_name = "DEVICES", value_parser = clap::value_parser!(u64).range(1..))]
    device_cap: Option<u64>,
    /// From which addresses it enrolls devices: an IPv4 or IPv6 range in CIDR notation, or an address.
    /// Can be given several times; without it, from anywhere.
    #[arg(long, value_name = "CIDR")]
    allow_from: Vec<AddressRange>,
}

impl CreateCommand {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<()> {
        if let Some(time) = self.expires_at.filter(|time| *time <= context.now) {
            return Err(usage(format!(
                "--expires-at {time} is past: the token would enroll nobody"
            )));
        }
        let new = NewToken {
            batch_label: self.batch_label,
            expires_at: self.expires_at,
            device_cap: self.device_cap,
            address_ranges: ranges(self.allow_from)?,
        };
        let rng = &mut UnwrapErr(SysRng);
        let token = EnrollmentToken::generate(self.of.project, TokenId::generate(rng), rng);
        context.store.create_token(&token, new, context.now).await?;
        show(context, &token)
    }
}

/// None given means anywhere.
pub(super) fn ranges(given: Vec<AddressRange>) -> anyhow::Result<Option<AddressRanges>> {
    if given.is_empty() { Ok(None) } else { Ok(Some(given.try_into().map_err(usage)?)) }
}
