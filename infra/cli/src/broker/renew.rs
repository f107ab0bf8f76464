//! `birthcert broker renew`: for cron, which runs it often and wants to hear nothing.

use std::{fmt, path::PathBuf, process::Command};

use anyhow::{Context as _, ensure};
use pki::clock::Timestamp;
use serde::Serialize;

use super::{
    directory::Directory,
    held::Held,
    issue::{Issued, sign, stage_key},
};
use crate::{Context, csr, output::Format};

const DAY: u64 = 24 * 60 * 60;
/// Long enough to mend a renewal that fails, at one try a day.
const WITHIN: u64 = 30 * DAY;

pub(super) const EXAMPLES: &str = "\
Examples:
  birthcert broker renew --directory broker --reload-command \"systemctl reload mosquitto\"

  # Now, with a new request for a key that is elsewhere
  birthcert broker renew --directory broker --within 397d --csr broker.csr";

#[derive(clap::Args)]
pub(crate) struct RenewCommand {
    /// The directory that `broker issue` or `broker issue-client` made.
    #[arg(long, value_name = "DIR")]
    directory: PathBuf,
    /// Renew it when it expires within this time, such as 30d or 12h. Unless given: 30 days, or the
    /// last third of its validity if that is less.
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    within: Option<u64>,
    /// What to run, with sh, once the new files are in place; and again at the next run, until it
    /// succeeds. As long as it has not, a run without this fails.
    #[arg(long, value_name = "COMMAND")]
    reload_command: Option<String>,
    /// A new request, for a certificate whose key was made elsewhere.
    #[arg(long, value_name = "FILE")]
    csr: Option<PathBuf>,
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
    files: Issued,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.issued {
            Some(Files { files }) => write!(f, "{files}")?,
            None => write!(f, "Not due: valid until {}", self.not_after)?,
        }
        f.write_str(if self.reloaded { "\nThe reload command has succeeded." } else { "" })
    }
}

impl RenewCommand {
    /// Done, without AWS, unless the certificate is due.
    pub(super) fn unless_due(self, output: Format, now: Timestamp) -> anyhow::Result<Option<Self>> {
        let directory = Directory::open(&self.directory)?;
        let held = Held::read(&directory)?;
        if self.is_due(&held, now) {
            return Ok(Some(self));
        }
        self.reload_only(&directory, &held, output)?;
        Ok(None)
    }

    pub(super) async fn run(self, context: &Context) -> anyhow::Result<()> {
        let directory = Directory::open(&self.directory)?;
        // Read again: another run may have renewed it since.
        let held = Held::read(&directory)?;
        let csr = self.csr.as_deref().map(csr::read).transpose()?.map(|(csr, _)| csr);
        ensure!(
            held.has_key || csr.is_some(),
            "the key of {} was made elsewhere: give a new request with --csr",
            held.service.common_name()
        );
        ensure!(
            !held.has_key || csr.is_none(),
            "the key of {} is made here: --csr is for one that is made elsewhere",
            held.service.common_name()
        );
        if !self.is_due(&held, context.now) {
            return self.reload_only(&directory, &held, context.output);
        }
        let staged = directory.stage()?;
        let key = stage_key(&staged, held.names, csr)?;
        let renews = Some(held.serial_number.as_str());
        let signed = sign(context, &held.service, held.validity_days(), renews, key).await?;
        let issued = signed.write(&staged, &directory, held.names)?;
        // A reload that is pending stays so, whoever renews without one.
        if self.reload_command.is_some() || directory.is_reload_pending()? {
            // In the version itself, so that it is there from the turn on.
            staged.write_reload_pending()?;
        }
        staged.turn(signed.certificate.serial_number(), held.names)?;
        let reloaded = self.reload(&directory)?;
        context.output.print(&Outcome {
            renewed: true,
            reloaded,
            not_after: signed.certificate.not_after(),
            issued: Some(Files { files: issued }),
        })
    }

    fn is_due(&self, held: &Held, now: Timestamp) -> bool {
        let third = held.not_after.minus(held.not_before.unix()).unix() / 3;
        let within = self.within.unwrap_or_else(|| WITHIN.min(third));
        held.not_after <= now.plus(within)
    }

    /// For a certificate that is not due.
    fn reload_only(
        &self,
        directory: &Directory,
        held: &Held,
        output: Format,
    ) -> anyhow::Result<()> {
        let (reloaded, not_after) = (self.reload(directory)?, held.not_after);
        output.print(&Outcome { renewed: false, reloaded, not_after, issued: None })
    }

    /// Whether the command ran, as it does while the one after the last renewal has not succeeded. What
    /// it prints is its own. It is not kept for the next run: the directory may belong to the broker's
    /// user, who would have root run anything.
    fn reload(&self, directory: &Directory) -> anyhow::Result<bool> {
        if !directory.is_reload_pending()? {
            return Ok(false);
        }
        let command = self.reload_command.as_deref().context(
            "the new files are in place, but the reload command has not succeeded since: give it again, \
             with --reload-command",
        )?;
        let again = "the new files are in place, and the next run tries again";
        let ended = Command::new("sh").args(["-c", command]).output();
        let ended = ended.with_context(|| format!("cannot run sh for {command:?}; {again}"))?;
        ensure!(
            ended.status.success(),
            "{command:?} failed ({}); {again}: {}",
            ended.status,
            String::from_utf8_lossy(&[ended.stdout, ended.stderr].concat()).trim_end()
        );
        directory.reloaded()?;
        Ok(true)
    }
}

fn seconds(text: &str) -> Result<u64, &'static str> {
    const FORM: &str = "it should be a number and d, h or m, such as 30d";
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
