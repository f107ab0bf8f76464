//! `birthcert device delete`.

use std::fmt;

use ledger::store::RevocationOutcome;
use pki::{clock::Timestamp, crl::RevocationReason, names::DeviceId, profile::Usage};
use serde::Serialize;

use crate::{context::Context, crl::CrlRequests, error::CommandError, options::confirm::Confirm};

pub(crate) const EXAMPLES: &str = "\
Examples:
  birthcert device delete dev_…
  birthcert device delete dev_… --reason keyCompromise --yes";

#[derive(clap::Args)]
pub(crate) struct DeleteCommand {
    /// Device id, dev_….
    device: DeviceId,
    /// Revocation reason of its certificates (RFC 5280, section 5.3.1).
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
            let text = "a device on hold cannot be deleted: give another reason";
            return Err(CommandError::Refused(text.into()).into());
        }
        confirm.ask(&format!("revoke and delete {device_id}"))?;
        // In this order, an interruption leaves a revoked device.
        let outcome = context.store.revoke_device(device_id, reason, Timestamp::now()).await;
        // A failure may have changed something before.
        let requested = CrlRequests::new(context, Usage::Device).send().await;
        let RevocationOutcome { certificates, .. } = outcome?;
        requested?;
        context.store.delete_device(device_id).await?;
        context.output.print(&Deleted { device_id, certificates_revoked: certificates })
    }
}
