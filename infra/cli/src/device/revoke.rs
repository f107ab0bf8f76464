//! `birthcert device revoke` and `birthcert device release-hold`.

use std::fmt;

use ledger::store::RevocationOutcome;
use pki::{clock::Timestamp, crl::RevocationReason, names::DeviceId, profile::Usage};
use serde::Serialize;

use super::{bulk::Action, serial::parse_serial, targets::Targets};
use crate::{context::Context, crl::CrlRequests};

pub(crate) const EXAMPLES: &str = "\
Examples:
  # A stolen device
  birthcert device revoke dev_… --reason keyCompromise

  # One certificate of a device, by its serial number
  birthcert device revoke dev_… --serial 6cfe9c104239bf8d4c00676c335d66ab

  # A whole batch: preview, then apply
  birthcert device revoke --batch-label March --reason keyCompromise
  birthcert device revoke --batch-label March --reason keyCompromise --yes

  # Devices that another program found
  jq -r .device_id suspects.jsonl | birthcert device revoke --file - --yes

  # Put devices on hold, then release them
  birthcert device revoke --token tok_… --reason certificateHold --yes
  birthcert device release-hold --token tok_… --yes";

pub(crate) const NOTES: &str = "\
Before you revoke all devices of an enrollment token, pause the token so that no more devices enroll with it.";

pub(crate) const RELEASE_EXAMPLES: &str = "\
Examples:
  birthcert device release-hold dev_…
  birthcert device release-hold --batch-label March --status held --yes";

pub(crate) const RELEASE_NOTES: &str = "\
A certificate that was superseded during the hold stays revoked. A certificate that was put on hold on its own, \
before its device was, stays on hold: release the device a second time.";

#[derive(clap::Args)]
pub(crate) struct RevokeCommand {
    #[command(flatten)]
    targets: Targets,
    /// Revoke only the certificate with this serial number, in hex. The status of the device does not
    /// change.
    #[arg(long, requires = "device", conflicts_with_all = ["file", "filters"])]
    #[arg(value_parser = parse_serial)]
    serial: Option<String>,
    /// Revocation reason (RFC 5280, section 5.3.1): unspecified, keyCompromise, affiliationChanged,
    /// superseded, cessationOfOperation, privilegeWithdrawn, or certificateHold, which can be released.
    #[arg(long, default_value_t = RevocationReason::Unspecified)]
    reason: RevocationReason,
}

#[derive(clap::Args)]
pub(crate) struct ReleaseCommand {
    #[command(flatten)]
    targets: Targets,
}

#[derive(Serialize)]
struct OneCertificate {
    device_id: DeviceId,
    serial_number: String,
    changed: bool,
    #[serde(skip)]
    done: &'static str,
}

impl fmt::Display for OneCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { device_id, serial_number, done, .. } = self;
        let already = if self.changed { "" } else { "already " };
        write!(f, "certificate {serial_number} of {device_id} is {already}{done}")
    }
}

impl RevokeCommand {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<()> {
        let Self { targets, serial, reason } = self;
        let store = &context.store;
        let action = match reason {
            RevocationReason::CertificateHold => Action { verb: "put on hold", done: "on hold" },
            _ => Action { verb: "revoke", done: "revoked" },
        };
        let (Some(serial_number), Some(device_id)) = (serial, targets.device()) else {
            let revoke = |id| store.revoke_device(id, reason, Timestamp::now());
            return targets.apply(context, action, revoke).await;
        };
        let Action { verb, done } = action;
        targets.confirm().ask(&format!("{verb} certificate {serial_number} of {device_id}"))?;
        let now = Timestamp::now();
        let outcome = store.revoke_certificate(device_id, &serial_number, reason, now).await;
        // A failure may have changed something before.
        let requested = CrlRequests::new(context, Usage::Device).send().await;
        let RevocationOutcome { changed, .. } = outcome?;
        requested?;
        context.output.print(&OneCertificate { device_id, serial_number, changed, done })
    }
}

impl ReleaseCommand {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<()> {
        let action = Action { verb: "release", done: "released" };
        self.targets.apply(context, action, |id| context.store.release_hold(id)).await
    }
}
