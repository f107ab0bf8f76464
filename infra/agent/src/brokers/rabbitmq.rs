//! RabbitMQ: a directory of CRLs, read at each handshake, and connection limits for denied devices.
//!
//! The management API limits a denied device to no connections, and closes those that it has.

mod issuer_hash;

use std::{
    collections::{BTreeMap, HashSet},
    fs,
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use http::{Method, StatusCode, header::CONTENT_TYPE};
use pki::names::DeviceId;
use reqwest::{Client, Url};
use serde::Deserialize;
use serde_json::json;

use self::issuer_hash::issuer_hash;
use super::desired_state::DesiredState;
use crate::{
    disk::{BrokerFile, DataDirectory},
    options::Options,
};

pub(super) const EXAMPLE: &str = "\
Example:
  birthcert-agent rabbitmq --source https://crl.example.com \\
    --root /etc/rabbitmq/birthcert/root.pem --directory /var/lib/birthcert \\
    --management http://127.0.0.1:15672 --credentials agent.txt";

pub(super) const NOTES: &str = "Writes the CRLs to the directory's folder crls (for \
    ssl_crl_hash_dir). Limits a denied device to no connections, like `rabbitmqctl set_user_limits`, \
    and closes those that it has. Removes the limit when the device is no longer denied.";

/// Far more than a response takes.
const LIMIT: Duration = Duration::from_secs(30);
/// A denied device that is imported as a user later has no limit until the state is applied again.
pub(super) const REAPPLY_INTERVAL: Duration = Duration::from_secs(30);
/// The connection limit of a denied device.
const NO_CONNECTIONS: i64 = 0;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(super) options: Options,
    /// URL of the management API; must be local or use HTTPS.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:15672")]
    management: Url,
    /// File with one line, user:password, for a user with the administrator tag.
    #[arg(long, value_name = "FILE")]
    credentials: PathBuf,
}

pub(crate) struct Rabbitmq {
    folder: PathBuf,
    client: Client,
    management: Url,
    user: String,
    password: String,
}

#[derive(Deserialize)]
struct UserLimits {
    user: String,
    value: BTreeMap<String, i64>,
}

#[derive(Deserialize)]
struct User {
    name: String,
}

#[derive(Deserialize)]
struct Connection {
    /// Missing until the connection has logged in.
    user: Option<String>,
}

impl Arguments {
    pub(super) fn broker(&self, directory: &DataDirectory) -> anyhow::Result<Rabbitmq> {
        let host = self.management.host_str().unwrap_or_default();
        ensure!(
            self.management.scheme() == "https"
                || matches!(host, "127.0.0.1" | "localhost" | "[::1]"),
            "--management must be local or use HTTPS, to protect the password"
        );
        let name = self.credentials.display();
        let text = fs::read_to_string(&self.credentials);
        let text = text.with_context(|| format!("cannot read {name}"))?;
        let (user, password) = text
            .trim_end_matches(['\r', '\n'])
            .split_once(':')
            .filter(|(_, password)| !password.contains('\n'))
            .with_context(|| format!("{name} must contain one line: user:password"))?;
        Ok(Rabbitmq {
            folder: directory.file("crls"),
            client: Client::builder().timeout(LIMIT).no_proxy().build()?,
            management: self.management.clone(),
            user: user.to_owned(),
            password: password.to_owned(),
        })
    }
}

impl Rabbitmq {
    pub(super) fn files(&self, desired: &DesiredState<'_>) -> anyhow::Result<Vec<BrokerFile>> {
        let mut files: Vec<BrokerFile> = Vec::new();
        for (_, ca, crl) in desired.crls {
            let hash = issuer_hash(ca.subject())?;
            // CAs with the same name share a hash, and others may collide.
            let same_hash =
                files.iter().filter(|it| it.path.file_stem() == Some(hash.as_ref())).count();
            let path = self.folder.join(format!("{hash}.r{same_hash}"));
            files.push(BrokerFile::new(path, crl.pem()?.into_bytes()));
        }
        Ok(files)
    }

    pub(super) async fn apply(&self, denied: &[DeviceId]) -> anyhow::Result<()> {
        let denied: HashSet<String> = denied.iter().map(ToString::to_string).collect();
        let blocked = self.blocked().await?;
        let outcomes = [
            self.block(denied.difference(&blocked).collect()).await,
            self.unblock(blocked.difference(&denied)).await,
            self.close_remaining(&denied).await,
        ];
        outcomes.into_iter().collect()
    }

    /// Blocks new connections of these devices, and closes the open ones.
    ///
    /// Skips devices that are not users: they cannot log in, and RabbitMQ 3.10 refuses them a limit
    /// (400).
    async fn block(&self, mut devices: HashSet<&String>) -> anyhow::Result<()> {
        if !devices.is_empty() {
            let users: Vec<User> = self.read("api/users?columns=name").await?;
            let users: HashSet<String> = users.into_iter().map(|it| it.name).collect();
            devices.retain(|device| users.contains(*device));
        }
        each(devices, async |device| {
            self.set_limit(Method::PUT, device).await?;
            // After the limit: a device that is disconnected first could reconnect.
            self.close_connections(device).await
        })
        .await
    }

    async fn unblock(&self, devices: impl Iterator<Item = &String>) -> anyhow::Result<()> {
        each(devices, async |device| self.set_limit(Method::DELETE, device).await).await
    }

    /// Closes connections that denied devices still have, such as after a run that was interrupted
    /// between setting a limit and closing. RabbitMQ lists a connection only after up to five
    /// seconds.
    async fn close_remaining(&self, denied: &HashSet<String>) -> anyhow::Result<()> {
        let open: Vec<Connection> = self.read("api/connections?columns=user").await?;
        let users = open.into_iter().filter_map(|it| it.user).filter(|it| denied.contains(it));
        each(&users.collect::<HashSet<_>>(), async |user| self.close_connections(user).await).await
    }

    /// Closes all connections of a user. Unlike the list of all connections, this covers new ones.
    async fn close_connections(&self, user: &str) -> anyhow::Result<()> {
        let path = format!("api/connections/username/{user}");
        self.send(self.client.delete(self.url(&path)?)).await.map(drop)
    }

    /// Returns the devices that are limited to no connections. Other users' limits are the
    /// operator's.
    async fn blocked(&self) -> anyhow::Result<HashSet<String>> {
        let all: Vec<UserLimits> = self.read("api/user-limits").await?;
        let blocked = all.into_iter().filter(|it| {
            it.user.parse::<DeviceId>().is_ok()
                && it.value.get("max-connections") == Some(&NO_CONNECTIONS)
        });
        Ok(blocked.map(|it| it.user).collect())
    }

    async fn set_limit(&self, method: Method, user: &str) -> anyhow::Result<()> {
        let body = json!({ "value": NO_CONNECTIONS }).to_string();
        let path = format!("api/user-limits/{user}/max-connections");
        self.write(method, &path, body).await
    }

    async fn read<T: for<'de> Deserialize<'de>>(&self, path: &str) -> anyhow::Result<T> {
        let response = self.send(self.client.get(self.url(path)?)).await?;
        let response =
            response.with_context(|| format!("the management API does not provide {path}"))?;
        serde_json::from_slice(&response)
            .with_context(|| format!("unexpected response from the management API: {path}"))
    }

    async fn write(&self, method: Method, path: &str, body: String) -> anyhow::Result<()> {
        let request = self.client.request(method, self.url(path)?).body(body);
        self.send(request.header(CONTENT_TYPE, "application/json")).await.map(drop)
    }

    /// Sends a request. Returns `None` if the resource does not exist, such as a closed connection.
    async fn send(&self, request: reqwest::RequestBuilder) -> anyhow::Result<Option<Vec<u8>>> {
        let request = request.basic_auth(&self.user, Some(&self.password));
        let response = request.send().await.context("cannot reach the management API")?;
        match response.status() {
            StatusCode::NOT_FOUND => Ok(None),
            status if status.is_success() => Ok(Some(response.bytes().await?.to_vec())),
            status => bail!("the management API returned {status}: {}", response.text().await?),
        }
    }

    fn url(&self, path: &str) -> anyhow::Result<Url> {
        Ok(format!("{}/{path}", self.management.as_str().trim_end_matches('/')).parse()?)
    }
}

/// Acts on each user and returns the first error.
///
/// Continues after a refusal, but not if the API is unreachable: every request would wait for a
/// timeout.
async fn each<'a>(
    users: impl IntoIterator<Item = &'a String>,
    act: impl AsyncFn(&str) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut outcome = Ok(());
    for user in users {
        let done = act(user).await.with_context(|| user.clone());
        let is_unreachable = done.as_ref().is_err_and(|it| it.is::<reqwest::Error>());
        outcome = outcome.and(done);
        if is_unreachable {
            break;
        }
    }
    outcome
}
