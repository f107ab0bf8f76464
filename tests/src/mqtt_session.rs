//! A session of MQTT 3.1.1 that stays open, by TCP or WebSocket: the Python client paho-mqtt.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::tool;

const PROGRAM: &str = include_str!("mqtt_session.py");
/// The client has limits of its own, below this.
const LIMIT: Duration = Duration::from_secs(60);

/// Where a broker on 127.0.0.1 listens.
#[derive(Clone, Copy, Debug)]
pub enum Endpoint {
    /// MQTT over TLS.
    Tcp(u16),
    /// MQTT over secure WebSockets, at a path.
    WebSocket(u16, &'static str),
}

/// Who connects.
#[derive(Clone, Debug)]
pub struct Client {
    /// The client id.
    pub id: String,
    /// Whether the session ends with the connection.
    pub clean_session: bool,
    /// What it trusts, in PEM.
    pub cafile: PathBuf,
    /// Its certificate chain and its key, in PEM.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// An open session. Dropping it ends the connection.
#[derive(Debug)]
pub struct Session {
    _client: Child,
    wishes: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

/// What came of connecting.
#[derive(Debug)]
pub enum Connected {
    /// A session.
    Open(Box<Session>),
    /// The broker refused, in the handshake or after it.
    Refused(String),
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// Nobody listens there, or the client cannot be run.
    pub async fn connect(&self, endpoint: Endpoint) -> anyhow::Result<Connected> {
        let (port, path) = match endpoint {
            Endpoint::Tcp(port) => (port, None),
            Endpoint::WebSocket(port, path) => (port, Some(path)),
        };
        let (certificate, key) = self.identity.clone().unzip();
        // The virtual environment's own python, which has paho-mqtt.
        let python = tool::folder()?.join("venv/bin/python3");
        let mut client = Command::new(&python)
            .args(["-c", PROGRAM])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{}: run tests/install-tools", python.display()))?;
        let wishes = client.stdin.take().context("piped")?;
        let answers = BufReader::new(client.stdout.take().context("piped")?).lines();
        let mut session = Session { _client: client, wishes, answers };
        let options = json!({
            "port": port, "path": path, "client_id": self.id, "clean_session": self.clean_session,
            "cafile": self.cafile, "certificate": certificate, "key": key,
        });
        let answer = session.ask(&options).await?;
        Ok(match answer["refused"].as_str() {
            Some(why) => Connected::Refused(why.to_owned()),
            None => Connected::Open(Box::new(session)),
        })
    }
}

impl Connected {
    /// The session.
    ///
    /// # Errors
    /// There is none.
    pub fn open(self) -> anyhow::Result<Session> {
        match self {
            Self::Open(session) => Ok(*session),
            Self::Refused(why) => anyhow::bail!("refused: {why}"),
        }
    }

    /// Whether there is none.
    pub fn is_refused(&self) -> bool {
        matches!(self, Self::Refused(_))
    }
}

impl Session {
    /// Publishes with QoS 1; whether the broker acknowledged it. If not, it hung up.
    ///
    /// # Errors
    /// It did neither.
    pub async fn publish(&mut self, topic: &str, payload: &str) -> anyhow::Result<bool> {
        let wish = json!({ "do": "publish", "topic": topic, "payload": payload });
        Ok(self.ask(&wish).await?["acknowledged"] == true)
    }

    /// Subscribes with QoS 1; whether the broker granted it.
    ///
    /// # Errors
    /// It neither answered nor hung up.
    pub async fn subscribe(&mut self, topic: &str) -> anyhow::Result<bool> {
        self.subscribe_at(topic, 1).await
    }

    /// Subscribes with this QoS; whether the broker granted it.
    ///
    /// # Errors
    /// As [`Session::subscribe`].
    pub async fn subscribe_at(&mut self, topic: &str, qos: u8) -> anyhow::Result<bool> {
        let wish = json!({ "do": "subscribe", "topic": topic, "qos": qos });
        Ok(self.ask(&wish).await?["granted"] == true)
    }

    /// The next message's payload; none if the broker hung up.
    ///
    /// # Errors
    /// Neither comes.
    pub async fn next(&mut self) -> anyhow::Result<Option<String>> {
        let answer = self.ask(&json!({ "do": "next" })).await?;
        Ok(answer["payload"].as_str().map(str::to_owned))
    }

    /// Whether the broker hung up, having delivered nothing, or neither within `limit`.
    ///
    /// # Errors
    /// A message came.
    pub async fn quiet(&mut self, limit: Duration) -> anyhow::Result<bool> {
        let wish = json!({ "do": "next", "limit": limit.as_secs_f64() });
        let answer = self.ask(&wish).await?;
        ensure!(answer["payload"].is_null(), "a message came: {answer}");
        Ok(answer["closed"] == true)
    }

    async fn ask(&mut self, wish: &Value) -> anyhow::Result<Value> {
        self.wishes
            .write_all(format!("{wish}\n").as_bytes())
            .await
            .context("the client is gone")?;
        let answer = timeout(LIMIT, self.answers.next_line()).await.context("no answer")??;
        let answer = answer.context("the client failed; its error is above")?;
        let answer: Value = serde_json::from_str(&answer)?;
        ensure!(answer.is_object(), "{answer}");
        Ok(answer)
    }
}
