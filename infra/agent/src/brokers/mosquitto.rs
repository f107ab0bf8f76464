//! Mosquitto: one file of CRLs, and an access list that denies devices everything.
//!
//! 2.0 reads a broken `crlfile` as none, and then lets everyone in: so it is never told to read one
//! that is not whole. Neither 2.0 nor 2.1 cuts a session by a CRL; what both do at once is to deny by
//! `acl_file` what the device publishes and what is delivered to it.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use pki::names::DeviceId;

use super::{Desired, Output, Outputs, bundle, reload::Reload};
use crate::{directory::Directory, files, options::Options};

pub(super) const EXAMPLE: &str = "\
Example:
  birthcert broker config mosquitto --output-directory /etc/mosquitto/devices \\
    --directory /etc/mosquitto/birthcert --revocation-directory /var/lib/birthcert
  birthcert-agent mosquitto --source https://crl.example.com --root /etc/mosquitto/birthcert/root.pem \\
    --directory /var/lib/birthcert --acl /etc/mosquitto/devices/acl \\
    --pid-file /var/lib/birthcert/mosquitto.pid

Writes crl.pem (for crlfile) and acl (for acl_file) in the directory.";

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(super) options: Options,
    /// Your own access list, such as `birthcert broker config mosquitto` wrote: the broker gets it
    /// with the denied devices at its end. Read again whenever it changes.
    #[arg(long, value_name = "FILE")]
    acl: PathBuf,
    #[command(flatten)]
    reload: Reload,
}

pub(crate) struct Mosquitto {
    rules: PathBuf,
    reload: Reload,
    crl: PathBuf,
    acl: PathBuf,
}

impl Arguments {
    pub(super) fn broker(&self, directory: &Directory) -> anyhow::Result<Mosquitto> {
        Ok(Mosquitto {
            rules: std::path::absolute(&self.acl)?,
            reload: self.reload.clone(),
            crl: directory.file("crl.pem"),
            acl: directory.file("acl"),
        })
    }
}

impl Mosquitto {
    pub(super) fn rules(&self) -> &Path {
        &self.rules
    }

    pub(super) fn outputs(&self, desired: &Desired<'_>) -> Outputs {
        let crl = bundle(desired).map(|crl| vec![Output::new(self.crl.clone(), crl)]);
        let mut outputs = Outputs::from(crl);
        match self.access_list(desired.denied) {
            Ok(acl) => outputs.files.push(acl),
            Err(error) => outputs.lacking = Some(error),
        }
        outputs
    }

    fn access_list(&self, denied: &[DeviceId]) -> anyhow::Result<Output> {
        let rules = files::read(&self.rules)?;
        let rules = rules.with_context(|| format!("{} is not there", self.rules.display()))?;
        Ok(Output::new(self.acl.clone(), access_list(rules, denied)).like(&self.rules))
    }

    pub(super) async fn enforce(&self, _: &[DeviceId]) -> anyhow::Result<()> {
        self.reload.run().await
    }
}

/// At the end, because a rule belongs to the last `user` before it, and the operator's first rules may
/// be for those who have no name. Where they stand makes no difference to what they do: mosquitto puts
/// what is denied to a user before what is allowed.
fn access_list(rules: Vec<u8>, denied: &[DeviceId]) -> Vec<u8> {
    // A wildcard at the beginning matches no topic that begins with $ (MQTT 3.1.1, section 4.7.2).
    let mut levels = special_levels(&String::from_utf8_lossy(&rules));
    levels.extend(["$SYS".to_owned(), "$CONTROL".to_owned()]);
    let mut list = rules;
    if list.last().is_some_and(|last| *last != b'\n') {
        list.push(b'\n');
    }
    for id in denied {
        list.extend_from_slice(format!("user {id}\ntopic deny #\n").as_bytes());
        for level in &levels {
            // Of a pattern: the user's name, which is the client id, too.
            let level = level.replace("%u", &id.to_string()).replace("%c", &id.to_string());
            list.extend_from_slice(format!("topic deny {level}/#\n").as_bytes());
        }
    }
    list
}

/// The first levels of the topics that begin with $ and are granted to anybody.
fn special_levels(rules: &str) -> BTreeSet<String> {
    let topics = rules.lines().filter_map(|line| {
        let (kind, rest) = line.trim().split_once(' ')?;
        let rest = rest.trim_start();
        let (access, topic) = rest.split_once(' ').unwrap_or_default();
        let is_access = matches!(access, "read" | "write" | "readwrite" | "deny");
        let topic = if is_access { topic.trim_start() } else { rest };
        (matches!(kind, "topic" | "pattern") && topic.starts_with('$')).then_some(topic)
    });
    topics.filter_map(|topic| topic.split('/').next()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operators_rules_stay_as_they_are() {
        let rules = b"topic read $SYS/#\npattern readwrite devices/%u/#";
        let id = "dev_0123456789ABCDEFGHIJKL".parse().unwrap();
        let list = String::from_utf8(access_list(rules.to_vec(), &[id])).unwrap();
        let denied = list.strip_prefix(str::from_utf8(rules).unwrap()).unwrap();
        let expected = "\nuser dev_0123456789ABCDEFGHIJKL\ntopic deny #\n";
        assert!(denied.starts_with(expected), "{denied}");
        assert_eq!(access_list(b"x\n".to_vec(), &[]), b"x\n");
    }

    #[test]
    fn what_begins_with_a_dollar_is_denied_level_by_level() {
        let rules = "topic $a/b/c\n  pattern  readwrite  $devices/%u/#\ntopic deny $d\r\n\
                     #topic read $no/#\ntopic read x/$no/#\npattern write $%u/#\n";
        let id = "dev_0123456789ABCDEFGHIJKL".parse().unwrap();
        let list = String::from_utf8(access_list(rules.into(), &[id])).unwrap();
        let denied = list.split_once("topic deny #\n").unwrap().1;
        let mut levels: Vec<_> =
            denied.lines().filter_map(|line| line.strip_prefix("topic deny ")).collect();
        levels.sort_unstable();
        let own = format!("${id}/#");
        assert_eq!(levels, ["$CONTROL/#", "$SYS/#", "$a/#", "$d/#", &own, "$devices/#"]);
    }
}
