//! RabbitMQ: a directory of CRLs, which it reads at each handshake, and its management API, by which a
//! denied device may open no connection and loses those that it has.

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

use super::{Desired, Output, issuer_hash::issuer_hash};
use crate::{directory::Directory, options::Options};

pub(super) const EXAMPLE: &str = "\
Example:
  birthcert-agent rabbitmq --source https://crl.example.com --root /etc/rabbitmq/birthcert/root.pem \\
    --directory /var/lib/birthcert --management http://127.0.0.1:15672 --credentials agent.txt

Writes the CRLs in the directory's folder crls (for ssl_crl_hash_dir). A denied device is limited to no
connections, as by `rabbitmqctl set_user_limits`, and its connections are closed; the limit goes when
the device is no longer denied.";

/// Far more than an answer takes.
const LIMIT: Duration = Duration::from_secs(30);
/// A device that is imported as a user after it was denied has no limit at first.
pub(super) const AGAIN: Duration = Duration::from_secs(30);
/// What a denied device should get.
const NO_CONNECTIONS: i64 = 0;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(super) options: Options,
    /// The management API, on this machine or by HTTPS.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:15672")]
    management: Url,
    /// A file whose only line is the name of a user with the tag administrator, a colon, and the
    /// password.
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
struct Limited {
    user: String,
    value: BTreeMap<String, i64>,
}

#[derive(Deserialize)]
struct User {
    name: String,
}

#[derive(Deserialize)]
struct Connection {
    /// Missing while it has not logged in.
    user: Option<String>,
}

impl Arguments {
    pub(super) fn broker(&self, directory: &Directory) -> anyhow::Result<Rabbitmq> {
        let host = self.management.host_str().unwrap_or_default();
        ensure!(
            self.management.scheme() == "https"
                || matches!(host, "127.0.0.1" | "localhost" | "[::1]"),
            "--management: the password goes to this machine or by HTTPS"
        );
        let name = self.credentials.display();
        let text = fs::read_to_string(&self.credentials);
        let text = text.with_context(|| format!("cannot read {name}"))?;
        let (user, password) = text
            .trim_end_matches(['\r', '\n'])
            .split_once(':')
            .filter(|(_, password)| !password.contains('\n'))
            .with_context(|| format!("{name} should be one line: user:password"))?;
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
    pub(super) fn outputs(&self, desired: &Desired<'_>) -> anyhow::Result<Vec<Output>> {
        let mut outputs: Vec<Output> = Vec::new();
        for (_, ca, crl) in desired.crls {
            let hash = issuer_hash(ca.subject())?;
            // Of CAs that share a name, or just the number.
            let alike =
                outputs.iter().filter(|it| it.path.file_stem() == Some(hash.as_ref())).count();
            let path = self.folder.join(format!("{hash}.r{alike}"));
            outputs.push(Output::new(path, crl.pem()?.into_bytes()));
        }
        Ok(outputs)
    }

    pub(super) async fn enforce(&self, denied: &[DeviceId]) -> anyhow::Result<()> {
        let denied: HashSet<String> = denied.iter().map(ToString::to_string).collect();
        let limited = self.limited().await?;
        let outcomes = [
            self.shut_out(denied.difference(&limited).collect()).await,
            self.let_in(limited.difference(&denied)).await,
            self.sweep(&denied).await,
        ];
        outcomes.into_iter().collect()
    }

    /// Who is no user cannot log in either, and is refused a limit: 400 in 3.10.
    async fn shut_out(&self, mut devices: HashSet<&String>) -> anyhow::Result<()> {
        if !devices.is_empty() {
            let users: Vec<User> = self.read("api/users?columns=name").await?;
            let users: HashSet<String> = users.into_iter().map(|it| it.name).collect();
            devices.retain(|device| users.contains(*device));
        }
        each(devices, async |device| {
            self.limit(Method::PUT, device).await?;
            // After the limit, or it would just come back.
            self.close(device).await
        })
        .await
    }

    async fn let_in(&self, devices: impl Iterator<Item = &String>) -> anyhow::Result<()> {
        each(devices, async |device| self.limit(Method::DELETE, device).await).await
    }

    /// Closes what is open all the same, such as after a run that ended between a limit and what
    /// follows it. What came up less than five seconds ago is not in the list yet.
    async fn sweep(&self, denied: &HashSet<String>) -> anyhow::Result<()> {
        let open: Vec<Connection> = self.read("api/connections?columns=user").await?;
        let users = open.into_iter().filter_map(|it| it.user).filter(|it| denied.contains(it));
        each(&users.collect::<HashSet<_>>(), async |user| self.close(user).await).await
    }

    /// All that a user has: this list is there from the first moment.
    async fn close(&self, user: &str) -> anyhow::Result<()> {
        let path = format!("api/connections/username/{user}");
        self.send(self.client.delete(self.url(&path)?)).await.map(drop)
    }

    /// The devices that may open no connection. Who is no device is not ours.
    async fn limited(&self) -> anyhow::Result<HashSet<String>> {
        let all: Vec<Limited> = self.read("api/user-limits").await?;
        let ours = all.into_iter().filter(|it| {
            it.user.parse::<DeviceId>().is_ok()
                && it.value.get("max-connections") == Some(&NO_CONNECTIONS)
        });
        Ok(ours.map(|it| it.user).collect())
    }

    async fn limit(&self, method: Method, user: &str) -> anyhow::Result<()> {
        let body = json!({ "value": NO_CONNECTIONS }).to_string();
        let path = format!("api/user-limits/{user}/max-connections");
        self.write(method, &path, body).await
    }

    async fn read<T: for<'de> Deserialize<'de>>(&self, path: &str) -> anyhow::Result<T> {
        let answer = self.send(self.client.get(self.url(path)?)).await?;
        let answer = answer.with_context(|| format!("the management API has no {path}"))?;
        serde_json::from_slice(&answer).with_context(|| format!("the management API's {path}"))
    }

    async fn write(&self, method: Method, path: &str, body: String) -> anyhow::Result<()> {
        let request = self.client.request(method, self.url(path)?).body(body);
        self.send(request.header(CONTENT_TYPE, "application/json")).await.map(drop)
    }

    /// None, if what it is about is not there: gone in the meantime, as it should be.
    async fn send(&self, request: reqwest::RequestBuilder) -> anyhow::Result<Option<Vec<u8>>> {
        let request = request.basic_auth(&self.user, Some(&self.password));
        let answer = request.send().await.context("the management API is away")?;
        match answer.status() {
            StatusCode::NOT_FOUND => Ok(None),
            status if status.is_success() => Ok(Some(answer.bytes().await?.to_vec())),
            status => bail!("the management API answers {status}: {}", answer.text().await?),
        }
    }

    fn url(&self, path: &str) -> anyhow::Result<Url> {
        Ok(format!("{}/{path}", self.management.as_str().trim_end_matches('/')).parse()?)
    }
}

/// Goes on after one that the API refuses, but not while it is away, for which each would wait. The
/// first error stands for all.
async fn each<'a>(
    users: impl IntoIterator<Item = &'a String>,
    act: impl AsyncFn(&str) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut outcome = Ok(());
    for user in users {
        let done = act(user).await.with_context(|| user.clone());
        let is_away = done.as_ref().is_err_and(|it| it.is::<reqwest::Error>());
        outcome = outcome.and(done);
        if is_away {
            break;
        }
    }
    outcome
}
