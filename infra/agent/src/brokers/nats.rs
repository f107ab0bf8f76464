//! NATS: a list of users without the denied devices.
//!
//! nats-server does not support CRLs, but accepts only its users. A reload disconnects a device
//! that is no longer one.

mod monitoring;

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};
use pki::names::DeviceId;
use reqwest::Url;

use self::monitoring::Monitoring;
use super::{desired_state::DesiredState, reload::Reload};
use crate::{
    disk::{self, BrokerFile, DataDirectory},
    options::Options,
};

pub(super) const EXAMPLE: &str = "\
Example:
  birthcert broker users nats --project \"$BIRTHCERT_PROJECT\" --file /etc/nats/all-devices.conf
  birthcert-agent nats --source https://crl.example.com --root /etc/nats/birthcert/root.pem \\
    --directory /var/lib/birthcert --users /etc/nats/all-devices.conf \\
    --reload-command \"systemctl reload nats-server\" --monitoring http://127.0.0.1:8222";

pub(super) const NOTES: &str = "Writes devices.conf (for include) to the directory: the users without \
    the denied devices. NATS does not check CRLs: a renewed device's old certificate stays valid until \
    it expires.";

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(super) options: Options,
    /// Your list of users, such as the one that `birthcert broker users nats` writes. Read again
    /// whenever it changes.
    #[arg(long, value_name = "FILE")]
    users: PathBuf,
    #[command(flatten)]
    reload: Reload,
    /// URL of nats-server's monitoring port, such as http://127.0.0.1:8222, used to confirm
    /// reloads. By default, every reload is assumed to succeed.
    #[arg(long, value_name = "URL")]
    monitoring: Option<Url>,
}

pub(crate) struct Nats {
    operator_users: PathBuf,
    reload: Reload,
    monitoring: Option<Monitoring>,
    output: PathBuf,
}

impl Arguments {
    pub(super) fn broker(&self, directory: &DataDirectory) -> anyhow::Result<Nats> {
        Ok(Nats {
            operator_users: std::path::absolute(&self.users)?,
            reload: self.reload.clone(),
            monitoring: self.monitoring.as_ref().map(Monitoring::new).transpose()?,
            output: directory.file("devices.conf"),
        })
    }
}

impl Nats {
    pub(super) fn operator_users(&self) -> &Path {
        &self.operator_users
    }

    pub(super) fn files(&self, desired: &DesiredState<'_>) -> anyhow::Result<Vec<BrokerFile>> {
        let path = &self.operator_users;
        let name = path.display();
        let users = disk::read(path)?.with_context(|| format!("{name} does not exist"))?;
        let users =
            String::from_utf8(users).with_context(|| format!("{name} is not valid UTF-8"))?;
        let content = without_devices(&users, desired.denied).with_context(|| name.to_string())?;
        Ok(vec![BrokerFile::new(self.output.clone(), content.into_bytes()).like(path)])
    }

    pub(super) async fn apply(&self) -> anyhow::Result<()> {
        let Some(monitoring) = &self.monitoring else {
            return self.reload.run().await;
        };
        let before = monitoring.load_time().await?;
        self.reload.run().await?;
        monitoring.wait_for_change(before.as_deref()).await
    }
}

/// Removes denied devices from a list of users. Each is removed with its whole `{ … }`, and all
/// other text stays as the operator wrote it.
fn without_devices(users: &str, denied: &[DeviceId]) -> anyhow::Result<String> {
    let denied: HashSet<String> = denied.iter().map(ToString::to_string).collect();
    let mut kept = String::with_capacity(users.len());
    let (mut entry, mut names) = (String::new(), Vec::new());
    let (mut depth, mut remaining) = (0_usize, 0_usize);
    let mut rest = users;
    while !rest.is_empty() {
        let token;
        (token, rest) = rest.split_at(token_length(rest)?);
        if token == "{" {
            depth += 1;
        }
        if depth == 0 {
            kept.push_str(token);
            continue;
        }
        entry.push_str(token);
        // Names in comments do not count.
        if let Some((_, name)) = token.split_once("CN=")
            && !is_comment(token)
        {
            // An organization may follow the common name.
            let end = name.find(|it: char| !it.is_ascii_alphanumeric() && it != '_');
            names.push(name[..end.unwrap_or(name.len())].to_owned());
        }
        if token == "}" {
            depth -= 1;
        }
        if depth == 0 {
            ensure!(names.len() <= 1, "{names:?} share one {{ … }}: put each user in its own");
            if !names.iter().any(|name| denied.contains(name)) {
                kept.push_str(&entry);
                remaining += 1;
            }
            entry.clear();
            names.clear();
        }
    }
    ensure!(depth == 0, "unclosed {{");
    ensure!(remaining > 0, "no user would remain, and nats-server would accept every client");
    Ok(kept)
}

/// Returns the length of the first token, so that braces in quotes and comments are not separate
/// tokens.
fn token_length(text: &str) -> anyhow::Result<usize> {
    if is_comment(text) {
        return Ok(text.find('\n').unwrap_or(text.len()));
    }
    let first = text.chars().next().unwrap_or_default();
    if matches!(first, '"' | '\'') {
        let mut is_escaped = false;
        let end = text.char_indices().skip(1).find(|(_, it)| {
            let is_end = *it == first && !is_escaped;
            is_escaped = first == '"' && *it == '\\' && !is_escaped;
            is_end
        });
        return Ok(end.context("unclosed quote")?.0 + 1);
    }
    let is_word = |it: char| !it.is_whitespace() && !"{}[](),;:\"'#".contains(it);
    let word = text.find(|it| !is_word(it)).unwrap_or(text.len());
    Ok(word.max(first.len_utf8()))
}

fn is_comment(text: &str) -> bool {
    text.starts_with('#') || text.starts_with("//")
}

#[cfg(test)]
mod tests {
    use super::*;

    const USERS: &str = "\
# The devices } that may \"connect
users = [
  { user: \"CN=nobody\", permissions: { publish: { deny: \">\" } } }
  { user: \"CN=dev_0123456789ABCDEFGHIJKL\", permissions: {
    publish: { allow: [\"a{b\"] } } }
  { user: 'CN=dev_abcdefghijklmnopqrstuv' } # }
]
";

    #[test]
    fn removes_whole_users_and_nothing_else() {
        let ids = ["dev_0123456789ABCDEFGHIJKL", "dev_abcdefghijklmnopqrstuv"];
        let ids = ids.map(|id| id.parse().unwrap());
        assert_eq!(without_devices(USERS, &[]).unwrap(), USERS);
        let one = without_devices(USERS, &ids[..1]).unwrap();
        assert!(!one.contains("0123456789"), "{one}");
        assert!(one.contains("  { user: 'CN=dev_abcdefghijklmnopqrstuv' } # }\n]\n"), "{one}");
        assert!(one.contains("{ user: \"CN=nobody\", permissions: { publish: { deny: \">\" } } }"));
        let none = without_devices(USERS, &ids).unwrap();
        assert!(!none.contains("dev_") && none.contains("nobody"), "{none}");
        let other: DeviceId = "dev_zzzzzzzzzzzzzzzzzzzzzz".parse().unwrap();
        assert_eq!(without_devices(USERS, &[other]).unwrap(), USERS);
    }

    #[test]
    fn refuses_a_damaged_list() {
        for wrong in ["", "users = []", "users = [ { user: \"CN=x\" ", "\"", "{ { }"] {
            assert!(without_devices(wrong, &[]).is_err(), "{wrong}");
        }
        // Users that share braces could only be removed together.
        let nested = format!("authorization {{ {USERS} }}");
        assert!(without_devices(&nested, &[]).unwrap_err().to_string().contains("share one {"));
    }

    #[test]
    fn finds_a_user_however_it_is_written() {
        let id: DeviceId = "dev_0123456789ABCDEFGHIJKL".parse().unwrap();
        for user in [
            format!("{{ user: \"CN={id}\" }}"),
            format!("{{ user: \"CN={id},O=Acme \\\\, \\\"Ltd\\\"\" }}"),
            format!("{{user=CN={id}}}"),
            format!("{{ username: CN={id}, password: \"\\\"}}\" }}"),
            format!("{{ // a comment }} CN={id}\n nkey: x user 'CN={id}'\n}}"),
        ] {
            let users = format!("users = [ {{ user: nobody }} {user} ]");
            assert_eq!(
                without_devices(&users, &[id]).unwrap(),
                "users = [ { user: nobody }  ]",
                "{user}"
            );
        }
        let comment = format!("users = [ {{ user: nobody }} # CN={id}\n ]");
        assert_eq!(without_devices(&comment, &[id]).unwrap(), comment);
    }
}
