//! An MQTT 3.1.1 session that stays open, over TCP or WebSocket, by the Python client paho-mqtt.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::process::tool;

const PROGRAM: &str = include_str!("../../drivers/mqtt_session.py");
/// The client's own limits are lower.
const LIMIT: Duration = Duration::from_secs(60);

/// An address of a broker on 127.0.0.1.
#[derive(Clone, Copy, Debug)]
pub enum Endpoint {
    /// MQTT over TLS.
    Tcp(u16),
    /// MQTT over secure WebSockets, at this path.
    WebSocket(u16, &'static str),
}

/// A client's settings.
#[derive(Clone, Debug)]
pub struct Client {
    /// The client id.
    pub id: String,
    /// True if the session ends with the connection.
    pub clean_session: bool,
    /// The trust anchors, in PEM.
    pub cafile: PathBuf,
    /// The certificate chain and its key, in PEM.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// An open session. Dropping it ends the connection.
#[derive(Debug)]
pub struct Session {
    _client: Child,
    commands: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

/// The result of connecting.
#[derive(Debug)]
pub enum Connected {
    /// The broker opened a session.
    Open(Box<Session>),
    /// The broker refused, during the handshake or after it.
    Refused(String),
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// If nothing listens there, or the client cannot be run.
    pub async fn connect(&self, endpoint: Endpoint) -> anyhow::Result<Connected> {
        let (port, path) = match endpoint {
            Endpoint::Tcp(port) => (port, None),
            Endpoint::WebSocket(port, path) => (port, Some(path)),
        };
        let (certificate, key) = self.identity.clone().unzip();
        // The virtual environment's python has paho-mqtt.
        let python = tool::folder()?.join("venv/bin/python3");
        let mut client = Command::new(&python)
            .args(["-c", PROGRAM])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{}: run tests/tools/install", python.display()))?;
        let commands = client.stdin.take().context("piped")?;
        let answers = BufReader::new(client.stdout.take().context("piped")?).lines();
        let mut session = Session { _client: client, commands, answers };
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
    /// Returns the session.
    ///
    /// # Errors
    /// If the broker refused.
    pub fn open(self) -> anyhow::Result<Session> {
        match self {
            Self::Open(session) => Ok(*session),
            Self::Refused(why) => anyhow::bail!("refused: {why}"),
        }
    }

    /// Returns true if the broker refused.
    pub fn is_refused(&self) -> bool {
        matches!(self, Self::Refused(_))
    }
}

impl Session {
    /// Publishes with QoS 1; returns true if the broker acknowledged it, false if it closed the
    /// connection.
    ///
    /// # Errors
    /// If the broker does neither.
    pub async fn publish(&mut self, topic: &str, payload: &str) -> anyhow::Result<bool> {
        let command = json!({ "do": "publish", "topic": topic, "payload": payload });
        Ok(self.ask(&command).await?["acknowledged"] == true)
    }

    /// Subscribes with QoS 1; returns true if the broker granted it.
    ///
    /// # Errors
    /// If the broker neither answers nor closes the connection.
    pub async fn subscribe(&mut self, topic: &str) -> anyhow::Result<bool> {
        self.subscribe_at(topic, 1).await
    }

    /// Subscribes with this QoS; returns true if the broker granted it.
    ///
    /// # Errors
    /// As [`Session::subscribe`].
    pub async fn subscribe_at(&mut self, topic: &str, qos: u8) -> anyhow::Result<bool> {
        let command = json!({ "do": "subscribe", "topic": topic, "qos": qos });
        Ok(self.ask(&command).await?["granted"] == true)
    }

    /// Returns the next message's payload, or `None` if the broker closed the connection.
    ///
    /// # Errors
    /// If neither happens.
    pub async fn next(&mut self) -> anyhow::Result<Option<String>> {
        let answer = self.ask(&json!({ "do": "next" })).await?;
        Ok(answer["payload"].as_str().map(str::to_owned))
    }

    /// Returns true if the broker closed the connection without delivering anything, false after
    /// `limit`.
    ///
    /// # Errors
    /// If a message arrives.
    pub async fn quiet(&mut self, limit: Duration) -> anyhow::Result<bool> {
        let command = json!({ "do": "next", "limit": limit.as_secs_f64() });
        let answer = self.ask(&command).await?;
        ensure!(answer["payload"].is_null(), "a message came: {answer}");
        Ok(answer["closed"] == true)
    }

    async fn ask(&mut self, command: &Value) -> anyhow::Result<Value> {
        self.commands
            .write_all(format!("{command}\n").as_bytes())
            .await
            .context("the client is gone")?;
        let answer = timeout(LIMIT, self.answers.next_line()).await.context("no answer")??;
        let answer = answer.context("the client failed; its error is above")?;
        let answer: Value = serde_json::from_str(&answer)?;
        ensure!(answer.is_object(), "{answer}");
        Ok(answer)
    }
}
