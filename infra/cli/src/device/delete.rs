//! `birthcert device delete`.

use std::fmt;

use pki::{clock::Timestamp, crl::RevocationReason, names::DeviceId, profile::Usage};
use serde::Serialize;

use crate::{Context, confirm::Confirm, crl::Requests, exit::Stop};

pub(crate) const EXAMPLES: &str = "\
Examples:
  birthcert device delete dev_…
  birthcert device delete dev_… --reason keyCompromise --yes";

#[derive(clap::Args)]
pub(crate) struct DeleteCommand {
    /// The device's id, dev_…
    device: DeviceId,
    /// Why its certificates are revoked, in the names of RFC 5280.
    #[arg(long, default_value_t = RevocationReason::CessationOfOperation)]
    reason: RevocationReason,
    #[command(flatten)]
    confirm: Confirm,
}

#[derive(Serialize)]
struct Deleted {
    device_id: DeviceId,
    certificates_revoked: usize,
}

impl fmt::Display for Deleted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { device_id, certificates_revoked } = self;
        write!(f, "{device_id} is deleted; certificates revoked: {certificates_revoked}")
    }
}

impl DeleteCommand {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<()> {
        let Self { device: device_id, reason, confirm } = self;
        if reason == RevocationReason::CertificateHold {
            let text = "a device on hold is not deleted: revoke it for another reason";
            return Err(Stop::Refused(text.into()).into());
        }
        confirm.ask(&format!("revoke and delete {device_id}"))?;
        // In this order: what is interrupted in between leaves a revoked device to delete.
        let stamped = context.store.revoke_device(device_id, reason, Timestamp::now()).await?;
        Requests::of(context, Usage::Device).ask().await?;
        context.store.delete_device(device_id).await?;
        context.output.print(&Deleted { device_id, certificates_revoked: stamped.certificates })
    }
}
