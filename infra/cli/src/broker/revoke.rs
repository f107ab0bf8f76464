//! `birthcert broker revoke`.

use std::fmt;

use pki::{clock::Timestamp, crl::RevocationReason, names::Host, profile::Usage};
use serde::Serialize;

use crate::{
    context::Context, crl::CrlRequests, device::serial::parse_serial, options::confirm::Confirm,
};

pub(super) const EXAMPLES: &str = "\
Examples:
  # All certificates of a compromised broker
  birthcert broker revoke mqtt.example.com --reason keyCompromise

  # One certificate, by its serial number from birthcert broker list
  birthcert broker revoke mqtt.example.com --serial 6cfe9c104239bf8d4c00676c335d66ab";

pub(super) const NOTES: &str = "\
A revoked certificate cannot be renewed: issue a new one.";

#[derive(clap::Args)]
pub(crate) struct RevokeCommand {
    /// Common name of the certificates: for a broker, the first name that it was issued for.
    #[arg(value_name = "NAME")]
    common_name: Host,
    /// Revoke only the certificate with this serial number, in hex.
    #[arg(long, value_parser = parse_serial)]
    serial: Option<String>,
    /// Revocation reason (RFC 5280, section 5.3.1): unspecified, keyCompromise, affiliationChanged,
    /// superseded, cessationOfOperation or privilegeWithdrawn.
    #[arg(long, default_value_t = RevocationReason::Unspecified, value_parser = permanent_reason)]
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
            0 => write!(f, "All certificates of {common_name} are already revoked or expired"),
            1 => write!(f, "Revoked 1 certificate of {common_name}"),
            many => write!(f, "Revoked {many} certificates of {common_name}"),
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
            context.store.revoke_service(&common_name, serial.as_deref(), reason, now).await;
        // A failure may have changed something before. A broker and another service may have the same name, under
        // different CAs.
        let requested = [
            CrlRequests::new(context, Usage::Server).send().await,
            CrlRequests::new(context, Usage::Service).send().await,
        ];
        let revoked = revoked?;
        requested.into_iter().collect::<anyhow::Result<()>>()?;
        context.output.print(&Revoked { common_name, revoked })
    }
}

fn permanent_reason(text: &str) -> Result<RevocationReason, String> {
    match text.parse() {
        Ok(RevocationReason::CertificateHold) => {
            Err("only devices can be put on hold: revoke the certificate and issue a new one"
                .into())
        }
        Ok(reason) => Ok(reason),
        Err(error) => Err(error.to_string()),
    }
}
