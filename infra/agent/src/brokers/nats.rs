//! NATS: it reads no CRL, but lets in only those who are users. A denied device is taken out of the
//! users that `nats-server` includes; at the reload it loses its connection.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};
use pki::names::DeviceId;
use reqwest::Url;

use super::{Desired, Output, monitoring::Monitoring, reload::Reload};
use crate::{directory::Directory, files, options::Options};

pub(super) const EXAMPLE: &str = "\
Example:
  birthcert broker users nats --project \"$BIRTHCERT_PROJECT\" --file /etc/nats/all-devices.conf
  birthcert-agent nats --source https://crl.example.com --root /etc/nats/birthcert/root.pem \\
    --directory /var/lib/birthcert --users /etc/nats/all-devices.conf \\
    --reload-command \"systemctl reload nats-server\" --monitoring http://127.0.0.1:8222

Writes devices.conf (for include) in the directory: the users without the denied devices. NATS checks
no CRL: a certificate that was renewed, of a device that is not denied, is good until it expires.";

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(super) options: Options,
    /// Your own list of users, such as `birthcert broker users nats` wrote. Read again whenever it
    /// changes.
    #[arg(long, value_name = "FILE")]
    users: PathBuf,
    #[command(flatten)]
    reload: Reload,
    /// Where nats-server's monitoring port is, such as http://127.0.0.1:8222: there it is seen that a
    /// reload was not refused. Unless given, it is taken for done.
    #[arg(long, value_name = "URL")]
    monitoring: Option<Url>,
}

pub(crate) struct Nats {
    users: PathBuf,
    reload: Reload,
    monitoring: Option<Monitoring>,
    output: PathBuf,
}

impl Arguments {
    pub(super) fn broker(&self, directory: &Directory) -> anyhow::Result<Nats> {
        Ok(Nats {
            users: std::path::absolute(&self.users)?,
            reload: self.reload.clone(),
            monitoring: self.monitoring.as_ref().map(Monitoring::new).transpose()?,
            output: directory.file("devices.conf"),
        })
    }
}

impl Nats {
    pub(super) fn users(&self) -> &Path {
        &self.users
    }

    pub(super) fn outputs(&self, desired: &Desired<'_>) -> anyhow::Result<Vec<Output>> {
        let name = self.users.display();
        let users = files::read(&self.users)?.with_context(|| format!("{name} is not there"))?;
        let users = String::from_utf8(users).with_context(|| format!("{name} is not text"))?;
        let content = without(&users, desired.denied).with_context(|| name.to_string())?;
        Ok(vec![Output::new(self.output.clone(), content.into_bytes()).like(&self.users)])
    }

    pub(super) async fn enforce(&self) -> anyhow::Result<()> {
        let Some(monitoring) = &self.monitoring else {
            return self.reload.run().await;
        };
        let before = monitoring.load_time().await?;
        self.reload.run().await?;
        monitoring.changed(before.as_deref()).await
    }
}

/// The list without these devices. Each is taken out with all of its `{ … }`, and nothing else is
/// touched: what the operator granted to the others is not ours to know.
fn without(users: &str, denied: &[DeviceId]) -> anyhow::Result<String> {
    let denied: HashSet<String> = denied.iter().map(ToString::to_string).collect();
    let mut kept = String::with_capacity(users.len());
    let (mut entry, mut names) = (String::new(), Vec::new());
    let (mut depth, mut left) = (0_usize, 0_usize);
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
        // A comment names nobody.
        if let Some((_, name)) = token.split_once("CN=")
            && !is_comment(token)
        {
            // The subject may go on with an organization.
            let end = name.find(|it: char| !it.is_ascii_alphanumeric() && it != '_');
            names.push(name[..end.unwrap_or(name.len())].to_owned());
        }
        if token == "}" {
            depth -= 1;
        }
        if depth == 0 {
            ensure!(names.len() <= 1, "{names:?} are in one {{ … }}: give each user its own");
            if !names.iter().any(|name| denied.contains(name)) {
                kept.push_str(&entry);
                left += 1;
            }
            entry.clear();
            names.clear();
        }
    }
    ensure!(depth == 0, "a {{ without its }}");
    ensure!(left > 0, "no user would be left, and nats-server would let everybody in");
    Ok(kept)
}

/// Braces between quotes or in comments are none.
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
        return Ok(end.context("a quote without its end")?.0 + 1);
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
    fn takes_out_whole_users_and_nothing_else() {
        let ids = ["dev_0123456789ABCDEFGHIJKL", "dev_abcdefghijklmnopqrstuv"];
        let ids = ids.map(|id| id.parse().unwrap());
        assert_eq!(without(USERS, &[]).unwrap(), USERS);
        let one = without(USERS, &ids[..1]).unwrap();
        assert!(!one.contains("0123456789"), "{one}");
        assert!(one.contains("  { user: 'CN=dev_abcdefghijklmnopqrstuv' } # }\n]\n"), "{one}");
        assert!(one.contains("{ user: \"CN=nobody\", permissions: { publish: { deny: \">\" } } }"));
        let none = without(USERS, &ids).unwrap();
        assert!(!none.contains("dev_") && none.contains("nobody"), "{none}");
        let other: DeviceId = "dev_zzzzzzzzzzzzzzzzzzzzzz".parse().unwrap();
        assert_eq!(without(USERS, &[other]).unwrap(), USERS);
    }

    #[test]
    fn a_damaged_list_is_none() {
        for wrong in ["", "users = []", "users = [ { user: \"CN=x\" ", "\"", "{ { }"] {
            assert!(without(wrong, &[]).is_err(), "{wrong}");
        }
        // Which would all go with the one that is denied.
        let nested = format!("authorization {{ {USERS} }}");
        assert!(without(&nested, &[]).unwrap_err().to_string().contains("in one {"));
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
            assert_eq!(without(&users, &[id]).unwrap(), "users = [ { user: nobody }  ]", "{user}");
        }
        let comment = format!("users = [ {{ user: nobody }} # CN={id}\n ]");
        assert_eq!(without(&comment, &[id]).unwrap(), comment);
    }
}
