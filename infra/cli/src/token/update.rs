//! `birthcert token update`.

use ledger::store::{Change, TokenChanges};
use pki::{
    clock::Timestamp,
    names::{AddressRange, Label},
};

use super::{create::ranges, selector::TokenSelector, view::TokenView};
use crate::{context::Context, options::time};

pub(crate) const EXAMPLES: &str = "\
Examples:
  # Replace the address ranges
  birthcert token update tok_… --allow-from 203.0.113.0/24 --allow-from 198.51.100.0/24

  # Raise the cap and remove the expiry
  birthcert token update tok_… --device-cap 1000 --no-expiry

  # Allow any address again
  birthcert token update tok_… --allow-from-anywhere";

#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("change").required(true).multiple(true).args([
    "batch_label", "no_batch_label", "expires_at", "no_expiry",
    "device_cap", "no_device_cap", "allow_from", "allow_from_anywhere",
]))]
pub(crate) struct UpdateCommand {
    #[command(flatten)]
    selector: TokenSelector,
    /// Label of the batch of devices that the token is for.
    #[arg(long, value_name = "LABEL")]
    batch_label: Option<Label>,
    /// Remove the batch label.
    #[arg(long, conflicts_with = "batch_label")]
    no_batch_label: bool,
    /// Time at which the token expires, such as 2027-01-31T12:00:00Z or 2027-01-31.
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    expires_at: Option<Timestamp>,
    /// Remove the expiry.
    #[arg(long, conflicts_with = "expires_at")]
    no_expiry: bool,
    /// Number of devices that can enroll with the token, including those that already did.
    #[arg(long, value_name = "DEVICES", value_parser = clap::value_parser!(u64).range(1..))]
    device_cap: Option<u64>,
    /// Remove the cap.
    #[arg(long, conflicts_with = "device_cap")]
    no_device_cap: bool,
    /// Address range from which devices can enroll. Replaces all existing ranges. Repeat for several.
    #[arg(long, value_name = "CIDR")]
    allow_from: Vec<AddressRange>,
    /// Allow enrollment from any address.
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
        let TokenSelector { project, token } = self.selector;
        let record = context.store.change_token(project.project, token, &changes).await?;
        context.output.print(&TokenView::from(record))
    }
}
