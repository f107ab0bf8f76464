//! `birthcert broker renew`: made for cron.

use std::{fmt, path::PathBuf, process::Command};

use anyhow::{Context as _, ensure};
use pki::{authority::RootFingerprint, clock::Timestamp};
use serde::Serialize;

use super::{
    certificate_directory::{CertificateDirectory, ROOT},
    current::CurrentCertificate,
    installed_roots::InstalledRoots,
    issue::{IssuedFiles, issuing_ca, sign, stage_key},
};
use crate::{
    context::Context,
    files::csr,
    options::root::{HEADING, RootOptions, fingerprint},
    output::format::Format,
    pinned_roots::root_of,
};

const DAY: u64 = 24 * 60 * 60;
/// The time before expiry in which a certificate is renewed. At one attempt a day, it is long enough to fix a
/// renewal that fails.
const WITHIN: u64 = 30 * DAY;

pub(super) const EXAMPLES: &str = "\
Examples:
  birthcert broker renew --directory broker --reload-command \"systemctl reload mosquitto\"

  # Renew now, with a new CSR for a key that is elsewhere
  birthcert broker renew --directory broker --within 397d --csr broker.csr

  # Renew now under a new root, and add that root to root.pem
  birthcert broker renew --directory broker --within 397d --accept-new-root 01ab…";

#[derive(clap::Args)]
pub(crate) struct RenewCommand {
    /// Directory that `broker issue` or `broker issue-client` created.
    #[arg(long, value_name = "DIR")]
    directory: PathBuf,
    /// Renew the certificate if it expires within this time, such as 30d or 12h. The default is 30 days,
    /// or the last third of the validity if that is shorter.
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    within: Option<u64>,
    /// Command to run with sh after the new files are in place. If it fails, the next run repeats it; a
    /// run without this option then fails.
    #[arg(long, value_name = "COMMAND")]
    reload_command: Option<String>,
    /// New CSR, for a certificate whose key was generated elsewhere.
    #[arg(long, value_name = "FILE")]
    csr: Option<PathBuf>,
    /// SHA-256 fingerprint of a root to add to root.pem, if the CA is under it. Without it, a CA under
    /// another root than those in root.pem is refused.
    #[arg(long, value_name = "HEX", value_parser = fingerprint, help_heading = HEADING)]
    accept_new_root: Option<RootFingerprint>,
    #[command(flatten)]
    root: RootOptions,
}

#[derive(Serialize)]
struct Outcome {
    renewed: bool,
    reloaded: bool,
    not_after: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none", flatten)]
    issued: Option<Files>,
}

#[derive(Serialize)]
struct Files {
    files: IssuedFiles,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.issued {
            Some(Files { files }) => write!(f, "{files}")?,
            None => write!(f, "Not due: valid until {}", self.not_after)?,
        }
        f.write_str(if self.reloaded { "\nThe reload command succeeded." } else { "" })
    }
}

impl RenewCommand {
    /// Finishes without AWS, unless the certificate is due.
    pub(super) fn finish_unless_due(
        self,
        output: Format,
        now: Timestamp,
    ) -> anyhow::Result<Option<Self>> {
        let directory = CertificateDirectory::open(&self.directory)?;
        let current = CurrentCertificate::read(&directory)?;
        if self.is_due(&current, now) {
            return Ok(Some(self));
        }
        self.reload_only(&directory, &current, output)?;
        Ok(None)
    }

    pub(super) async fn run(self, context: &Context) -> anyhow::Result<()> {
        let directory = CertificateDirectory::open(&self.directory)?;
        // Read again: another run may have renewed it meanwhile.
        let current = CurrentCertificate::read(&directory)?;
        let csr = self.csr.as_deref().map(csr::read).transpose()?.map(|(csr, _)| csr);
        ensure!(
            current.has_key || csr.is_some(),
            "the key of {} was generated elsewhere: give a new CSR with --csr",
            current.service.common_name()
        );
        ensure!(
            !current.has_key || csr.is_none(),
            "the key of {} is generated here: give --csr only for a key that is generated elsewhere",
            current.service.common_name()
        );
        if !self.is_due(&current, context.now) {
            return self.reload_only(&directory, &current, context.output);
        }
        let installed = InstalledRoots::read(&directory.file(ROOT))?;
        let pinned = context.pinned_roots(&self.root)?;
        let authority = issuing_ca(context, current.service.role().usage()).await?;
        let roots_pem = installed.renewed_under(&authority, self.accept_new_root)?;
        pinned.check(authority.name(), root_of(&authority)?)?;

        let staged = directory.stage()?;
        let key = stage_key(&staged, current.names, csr)?;
        let (service, days) = (&current.service, current.validity_days());
        let renews = Some(current.serial_number.as_str());
        let signed = sign(context, authority, service, days, renews, key).await?;
        let issued = signed.write(&staged, &directory, current.names, &roots_pem)?;
        // A pending reload stays pending after a renewal without a reload command.
        if self.reload_command.is_some() || directory.is_reload_pending()? {
            // In the version itself, so that it exists from the switch on.
            staged.write_reload_pending()?;
        }
        staged.switch(signed.certificate.serial_number(), current.names)?;
        let reloaded = self.reload(&directory)?;
        context.output.print(&Outcome {
            renewed: true,
            reloaded,
            not_after: signed.certificate.not_after(),
            issued: Some(Files { files: issued }),
        })
    }

    fn is_due(&self, current: &CurrentCertificate, now: Timestamp) -> bool {
        // A clock before the certificate is wrong: without this, the certificate would never be due. Before it
        // renews, the command compares the clock with AWS's.
        if now < current.not_before {
            return true;
        }
        let third = current.not_after.minus(current.not_before.unix()).unix() / 3;
        let within = self.within.unwrap_or_else(|| WITHIN.min(third));
        current.not_after <= now.plus(within)
    }

    /// Runs a pending reload command, for a certificate that is not due.
    fn reload_only(
        &self,
        directory: &CertificateDirectory,
        current: &CurrentCertificate,
        output: Format,
    ) -> anyhow::Result<()> {
        let (reloaded, not_after) = (self.reload(directory)?, current.not_after);
        output.print(&Outcome { renewed: false, reloaded, not_after, issued: None })
    }

    /// Runs the reload command if one is pending, and returns true if it ran. The command is not stored for
    /// the next run: the directory may belong to the broker's user, who could make root run anything.
    fn reload(&self, directory: &CertificateDirectory) -> anyhow::Result<bool> {
        if !directory.is_reload_pending()? {
            return Ok(false);
        }
        let command = self.reload_command.as_deref().context(
            "the new files are in place, but the reload command has not succeeded yet: give it again with \
             --reload-command",
        )?;
        let again = "the new files are in place, and the next run repeats the command";
        let ended = Command::new("sh").args(["-c", command]).output();
        let ended = ended.with_context(|| format!("cannot run sh for {command:?}; {again}"))?;
        ensure!(
            ended.status.success(),
            "{command:?} failed ({}); {again}: {}",
            ended.status,
            String::from_utf8_lossy(&[ended.stdout, ended.stderr].concat()).trim_end()
        );
        directory.clear_reload_pending()?;
        Ok(true)
    }
}

fn seconds(text: &str) -> Result<u64, &'static str> {
    const FORM: &str = "expected a number with d, h or m, such as 30d";
    let unit = match text.chars().last() {
        Some('d') => DAY,
        Some('h') => 60 * 60,
        Some('m') => 60,
        _ => return Err(FORM),
    };
    let number = text.get(..text.len() - 1).unwrap_or_default();
    if !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(FORM);
    }
    number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit)).ok_or(FORM)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_times() {
        assert_eq!(seconds("30d"), Ok(30 * DAY));
        assert_eq!(seconds("12h"), Ok(12 * 60 * 60));
        assert_eq!(seconds("5m"), Ok(300));
        for wrong in ["", "d", "30", "30s", "-1d", "+1d", "1.5d", "3é", "99999999999999999999d"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}
