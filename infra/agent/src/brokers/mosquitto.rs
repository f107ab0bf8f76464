//! Mosquitto: one CRL file, and an access list that denies the denied devices everything.
//!
//! Version 2.0 ignores a damaged `crlfile` and then accepts every client, so it must never reload a
//! partial one. Neither 2.0 nor 2.1 ends a session because of a CRL. Both enforce a reloaded
//! `acl_file` immediately, on what a device publishes and on what it receives.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use pki::names::DeviceId;

use super::{
    desired_state::{BrokerFiles, DesiredState},
    reload::Reload,
};
use crate::{
    disk::{self, BrokerFile, DataDirectory},
    options::Options,
};

pub(super) const EXAMPLE: &str = "\
Example:
  birthcert broker config mosquitto --output-directory /etc/mosquitto/devices \\
    --directory /etc/mosquitto/birthcert --revocation-directory /var/lib/birthcert
  birthcert-agent mosquitto --source https://crl.example.com \\
    --root /etc/mosquitto/birthcert/root.pem --directory /var/lib/birthcert \\
    --acl /etc/mosquitto/devices/acl \\
    --pid-file /var/lib/birthcert/mosquitto.pid";

pub(super) const NOTES: &str =
    "Writes crl.pem (for crlfile) and acl (for acl_file) to the directory.";

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(super) options: Options,
    /// Your access list, such as the one that `birthcert broker config mosquitto` writes. The
    /// broker gets a copy with the denied devices appended, updated whenever your list changes.
    #[arg(long, value_name = "FILE")]
    acl: PathBuf,
    #[command(flatten)]
    reload: Reload,
}

pub(crate) struct Mosquitto {
    operator_acl: PathBuf,
    reload: Reload,
    crl: PathBuf,
    acl: PathBuf,
}

impl Arguments {
    pub(super) fn broker(&self, directory: &DataDirectory) -> anyhow::Result<Mosquitto> {
        Ok(Mosquitto {
            operator_acl: std::path::absolute(&self.acl)?,
            reload: self.reload.clone(),
            crl: directory.file("crl.pem"),
            acl: directory.file("acl"),
        })
    }
}

impl Mosquitto {
    pub(super) fn operator_acl(&self) -> &Path {
        &self.operator_acl
    }

    pub(super) fn files(&self, desired: &DesiredState<'_>) -> BrokerFiles {
        let crl = desired.crl_bundle();
        let mut all = BrokerFiles::from(crl.map(|it| vec![BrokerFile::new(self.crl.clone(), it)]));
        match self.access_list(desired.denied) {
            Ok(acl) => all.files.push(acl),
            Err(error) => all.error = Some(error),
        }
        all
    }

    fn access_list(&self, denied: &[DeviceId]) -> anyhow::Result<BrokerFile> {
        let path = &self.operator_acl;
        let rules = disk::read(path)?;
        let rules = rules.with_context(|| format!("{} does not exist", path.display()))?;
        Ok(BrokerFile::new(self.acl.clone(), access_list(rules, denied)).like(path))
    }

    pub(super) async fn apply(&self) -> anyhow::Result<()> {
        self.reload.run().await
    }
}

/// Appends the denied devices to the operator's rules.
///
/// They come last because a rule applies to the `user` line above it, and the operator's first
/// rules may be for anonymous clients. Position does not affect precedence: mosquitto checks
/// denials first.
fn access_list(rules: Vec<u8>, denied: &[DeviceId]) -> Vec<u8> {
    // A leading wildcard does not match topics that begin with $ (MQTT 3.1.1, section 4.7.2).
    let mut levels = special_levels(&String::from_utf8_lossy(&rules));
    levels.extend(["$SYS".to_owned(), "$CONTROL".to_owned()]);
    let mut list = rules;
    if list.last().is_some_and(|last| *last != b'\n') {
        list.push(b'\n');
    }
    for id in denied {
        list.extend_from_slice(format!("user {id}\ntopic deny #\n").as_bytes());
        for level in &levels {
            // In patterns, %u and %c are the device's id: it is both user name and client id.
            let level = level.replace("%u", &id.to_string()).replace("%c", &id.to_string());
            list.extend_from_slice(format!("topic deny {level}/#\n").as_bytes());
        }
    }
    list
}

/// Returns the first levels of all topics in the rules that begin with $.
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
    fn keeps_the_operators_rules() {
        let rules = b"topic read $SYS/#\npattern readwrite devices/%u/#";
        let id = "dev_0123456789ABCDEFGHIJKL".parse().unwrap();
        let list = String::from_utf8(access_list(rules.to_vec(), &[id])).unwrap();
        let denied = list.strip_prefix(str::from_utf8(rules).unwrap()).unwrap();
        let expected = "\nuser dev_0123456789ABCDEFGHIJKL\ntopic deny #\n";
        assert!(denied.starts_with(expected), "{denied}");
        assert_eq!(access_list(b"x\n".to_vec(), &[]), b"x\n");
    }

    #[test]
    fn denies_topics_with_a_leading_dollar_by_level() {
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
