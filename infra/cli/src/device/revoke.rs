//! `birthcert device revoke` and `release-hold`.

use std::fmt;

use ledger::store::RevocationOutcome;
use pki::{clock::Timestamp, crl::RevocationReason, names::DeviceId, profile::Usage};
use serde::Serialize;

use super::{bulk::Verb, find::serial_number, targets::Targets};
use crate::{Context, crl::Requests};

pub(crate) const EXAMPLES: &str = "\
Examples:
  # One device that was stolen
  birthcert device revoke dev_… --reason keyCompromise

  # One certificate of it, by its serial number; the device may ask for another
  birthcert device revoke dev_… --serial 6cfe9c104239bf8d4c00676c335d66ab

  # A whole batch: first what it would be, then for real
  birthcert device revoke --batch-label March --reason keyCompromise
  birthcert device revoke --batch-label March --reason keyCompromise --yes

  # What another program found
  jq -r .device_id suspects.jsonl | birthcert device revoke --file - --yes

  # On suspicion, and back
  birthcert device revoke --token tok_… --reason certificateHold --yes
  birthcert device release-hold --token tok_… --yes

Before devices are revoked by the token that they came in on, pause the token, so that no more come in.";

pub(crate) const RELEASE_EXAMPLES: &str = "\
Examples:
  birthcert device release-hold dev_…
  birthcert device release-hold --batch-label March --status held --yes

A certificate that was superseded under the hold does not become good again. One that was on hold by itself \
before the device was, stays so; a second release of the device is for that.";

#[derive(clap::Args)]
pub(crate) struct RevokeCommand {
    #[command(flatten)]
    targets: Targets,
    /// Only the device's certificate with this serial number, in hex. The device stays as it is.
    #[arg(long, requires = "device", conflicts_with_all = ["file", "filters"])]
    #[arg(value_parser = parse_serial)]
    serial: Option<String>,
    /// Why, in the names of RFC 5280, section 5.3.1: unspecified, keyCompromise, affiliationChanged,
    /// superseded, cessationOfOperation, privilegeWithdrawn; or certificateHold, which can be taken
    /// back.
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
        let already = if self.changed { "" } else { " already" };
        write!(f, "certificate {serial_number} of {device_id} is {done}{already}")
    }
}

pub(crate) fn parse_serial(text: &str) -> Result<String, &'static str> {
    serial_number(text).ok_or("a serial number has 32 hexadecimal digits")
}

impl RevokeCommand {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<()> {
        let Self { targets, serial, reason } = self;
        let store = &context.store;
        let verb = match reason {
            RevocationReason::CertificateHold => Verb { verb: "put on hold", done: "on hold" },
            _ => Verb { verb: "revoke", done: "revoked" },
        };
        let (Some(serial_number), Some(device_id)) = (serial, targets.device()) else {
            let revoke = |id| store.revoke_device(id, reason, Timestamp::now());
            return targets.carry_out(context, verb, revoke).await;
        };
        let Verb { verb, done } = verb;
        targets.confirm().ask(&format!("{verb} certificate {serial_number} of {device_id}"))?;
        let now = Timestamp::now();
        let RevocationOutcome { changed, .. } =
            store.revoke_certificate(device_id, &serial_number, reason, now).await?;
        Requests::of(context, Usage::Device).ask().await?;
        context.output.print(&OneCertificate { device_id, serial_number, changed, done })
    }
}

impl ReleaseCommand {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<()> {
        let verb = Verb { verb: "release", done: "released" };
        self.targets.carry_out(context, verb, |id| context.store.release_hold(id)).await
    }
}
