//! `birthcert broker revoke`.

use std::fmt;

use pki::{clock::Timestamp, crl::RevocationReason, names::Host, profile::Usage};
use serde::Serialize;

use crate::{Context, confirm::Confirm, crl::Requests, device::parse_serial};

const EXAMPLES: &str = "\
Examples:
  # Every certificate of a broker whose machine was broken into
  birthcert broker revoke mqtt.example.com --reason keyCompromise

  # One of them, by its serial number, as `birthcert broker list` shows it
  birthcert broker revoke mqtt.example.com --serial 6cfe9c104239bf8d4c00676c335d66ab

What is revoked is not renewed any more: issue anew with `birthcert broker issue`.";

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct RevokeCommand {
    /// The common name: of a broker, the first name that it was issued for.
    #[arg(value_name = "NAME")]
    common_name: Host,
    /// Only the certificate with this serial number, in hex.
    #[arg(long, value_parser = parse_serial)]
    serial: Option<String>,
    /// Why, in the names of RFC 5280, section 5.3.1: unspecified, keyCompromise, affiliationChanged,
    /// superseded, cessationOfOperation or privilegeWithdrawn.
    #[arg(long, default_value_t = RevocationReason::Unspecified, value_parser = for_good)]
    reason: RevocationReason,
    #[command(flatten)]
    confirm: Confirm,
}

#[derive(Serialize)]
struct Revoked {
    common_name: Host,
    revoked: usize,
}

impl fmt::Display for Revoked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { common_name, revoked } = self;
        match revoked {
            0 => write!(f, "Revoked or expired already, all of it: {common_name}"),
            1 => write!(f, "Revoked: one certificate of {common_name}"),
            many => write!(f, "Revoked: {many} certificates of {common_name}"),
        }
    }
}

impl RevokeCommand {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<()> {
        let Self { common_name, serial, reason, confirm } = self;
        let what =
            serial.as_deref().map_or("all certificates".into(), |it| format!("certificate {it}"));
        confirm.ask(&format!("revoke {what} of {common_name}"))?;
        let now = Timestamp::now();
        let revoked =
            context.store.revoke_service(&common_name, serial.as_deref(), reason, now).await?;
        // A name may be a broker's and another service's, of one CA each.
        Requests::of(context, Usage::Server).ask().await?;
        Requests::of(context, Usage::Service).ask().await?;
        context.output.print(&Revoked { common_name, revoked })
    }
}

fn for_good(text: &str) -> Result<RevocationReason, String> {
    match text.parse() {
        Ok(RevocationReason::CertificateHold) => {
            Err("only devices can be put on hold; a service's certificate is issued anew".into())
        }
        Ok(reason) => Ok(reason),
        Err(error) => Err(error.to_string()),
    }
}
