//! `birthcert token update`.

use ledger::store::{Change, TokenChanges};
use pki::{
    clock::Timestamp,
    names::{AddressRange, Label},
};

use super::{Named, create::ranges, view::TokenView};
use crate::{Context, moment};

pub(crate) const EXAMPLES: &str = "\
Examples:
  # A second production line: all the ranges, the ones that are there included
  birthcert token update tok_… --allow-from 203.0.113.0/24 --allow-from 198.51.100.0/24

  # Another 500 devices, and no end in time
  birthcert token update tok_… --device-cap 1000 --no-expiry

  # From anywhere again
  birthcert token update tok_… --allow-from-anywhere";

#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("change").required(true).multiple(true).args([
    "batch_label", "no_batch_label", "expires_at", "no_expiry",
    "device_cap", "no_device_cap", "allow_from", "allow_from_anywhere",
]))]
pub(crate) struct UpdateCommand {
    #[command(flatten)]
    named: Named,
    /// For people: the batch of devices it is meant for.
    #[arg(long)]
    batch_label: Option<Label>,
    /// Take the label away.
    #[arg(long, conflicts_with = "batch_label")]
    no_batch_label: bool,
    /// When it stops enrolling devices, as 2027-01-31T12:00:00Z or 2027-01-31.
    #[arg(long, value_name = "TIME", value_parser = moment::parse)]
    expires_at: Option<Timestamp>,
    /// Let it never expire.
    #[arg(long, conflicts_with = "expires_at")]
    no_expiry: bool,
    /// How many devices it may enroll, the ones that it did enroll included.
    #[arg(long, value_name = "DEVICES", value_parser = clap::value_parser!(u64).range(1..))]
    device_cap: Option<u64>,
    /// Let it enroll any number.
    #[arg(long, conflicts_with = "device_cap")]
    no_device_cap: bool,
    /// From which addresses it enrolls devices, in place of the ranges that it has. Can be given
    /// several times.
    #[arg(long, value_name = "CIDR")]
    allow_from: Vec<AddressRange>,
    /// Let it enroll devices from anywhere.
    #[arg(long, conflicts_with = "allow_from")]
    allow_from_anywhere: bool,
}

impl UpdateCommand {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<()> {
        let changes = TokenChanges {
            batch_label: Change::to(self.batch_label, self.no_batch_label),
            expires_at: Change::to(self.expires_at, self.no_expiry),
            device_cap: Change::to(self.device_cap, self.no_device_cap),
            address_ranges: Change::to(ranges(self.allow_from)?, self.allow_from_anywhere),
        };
        let Named { of, token } = self.named;
        let record = context.store.change_token(of.project, token, &changes).await?;
        context.output.print(&TokenView::from(record))
    }
}
