//! An MQTT 3.1.1 session that stays open, over TCP or WebSocket, by the Python client paho-mqtt.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::mqtt::session_end::{Heard, SessionEnd};
use crate::process::tool;

const PROGRAM: &str = include_str!("../../drivers/mqtt_session.py");
/// The client's own limits are lower.
const LIMIT: Duration = Duration::from_secs(60);

/// The usual [`Client::limit`]: far more than a broker on this machine needs.
pub const ANSWER_LIMIT: Duration = Duration::from_secs(20);

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
    /// The time that the client waits for an answer of the broker.
    pub limit: Duration,
}

/// An open session. Dropping it ends the connection.
#[derive(Debug)]
pub struct Session {
    client: Child,
    commands: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

/// The result of connecting.
#[derive(Debug)]
pub enum Connected {
    /// The broker opened a session.
    Open(Box<Session>),
    /// The broker refused, during the handshake or after it.
    Refused(SessionEnd),
}

/// The driver's answer to the attempt to connect.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Attempt {
    Connected,
    Refused(SessionEnd),
}

/// The driver's answer to a command whose effect the broker confirms.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Confirmation {
    Confirmed(bool),
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// If the broker neither lets the client in nor refuses it: nothing listens there, nothing is
    /// answered in time, the client rejects the broker's certificate, or it cannot be run.
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
        let mut session = Session { client, commands, answers };
        let options = json!({
            "port": port, "path": path, "client_id": self.id, "clean_session": self.clean_session,
            "cafile": self.cafile, "certificate": certificate, "key": key,
            "limit": self.limit.as_secs_f64(),
        });
        Ok(match session.ask(&options).await? {
            Attempt::Connected => Connected::Open(Box::new(session)),
            Attempt::Refused(end) => Connected::Refused(end),
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
            Self::Refused(end) => Err(end.into()),
        }
    }

    /// Returns true if the broker refused.
    pub fn is_refused(&self) -> bool {
        matches!(self, Self::Refused(_))
    }
}

impl Session {
    /// Returns the process id of the client.
    pub fn pid(&self) -> Option<u32> {
        self.client.id()
    }

    /// Publishes with QoS 1; returns true if the broker acknowledged it, false if it closed the
    /// connection.
    ///
    /// # Errors
    /// If the broker does neither, or the client fails.
    pub async fn publish(&mut self, topic: &str, payload: &str) -> anyhow::Result<bool> {
        let command = json!({ "do": "publish", "topic": topic, "payload": payload });
        let Confirmation::Confirmed(acknowledged) = self.ask(&command).await?;
        Ok(acknowledged)
    }

    /// Subscribes with QoS 1; returns true if the broker granted it.
    ///
    /// # Errors
    /// If the broker neither answers nor closes the connection, or the client fails.
    pub async fn subscribe(&mut self, topic: &str) -> anyhow::Result<bool> {
        self.subscribe_at(topic, 1).await
    }

    /// Subscribes with this QoS; returns true if the broker granted it.
    ///
    /// # Errors
    /// As [`Session::subscribe`].
    pub async fn subscribe_at(&mut self, topic: &str, qos: u8) -> anyhow::Result<bool> {
        let command = json!({ "do": "subscribe", "topic": topic, "qos": qos });
        let Confirmation::Confirmed(granted) = self.ask(&command).await?;
        Ok(granted)
    }

    /// Returns the next message's payload, or `None` if the broker closed the connection.
    ///
    /// # Errors
    /// If neither happens, or the client fails.
    pub async fn next(&mut self) -> anyhow::Result<Option<String>> {
        match self.ask(&json!({ "do": "next" })).await? {
            Heard::Message(payload) => Ok(Some(payload)),
            Heard::Ended(_) => Ok(None),
            Heard::Silence => bail!("nothing arrived"),
        }
    }

    /// Waits for a message, for `limit` at most.
    ///
    /// # Errors
    /// If the client fails.
    pub async fn hear(&mut self, limit: Duration) -> anyhow::Result<Heard> {
        self.ask(&json!({ "do": "next", "limit": limit.as_secs_f64() })).await
    }

    /// Waits until the broker ends the session without delivering anything.
    ///
    /// # Errors
    /// If a message arrives, or the session is still open after `limit`.
    pub async fn is_ended(&mut self, limit: Duration) -> anyhow::Result<()> {
        let heard = self.hear(limit).await?;
        ensure!(matches!(heard, Heard::Ended(_)), "the session goes on: {heard:?}");
        Ok(())
    }

    async fn ask<T: DeserializeOwned>(&mut self, command: &Value) -> anyhow::Result<T> {
        self.commands
            .write_all(format!("{command}\n").as_bytes())
            .await
            .context("the client is gone")?;
        let answer = timeout(LIMIT, self.answers.next_line()).await.context("no answer")??;
        let answer = answer.context("the client failed; its error is above")?;
        let answer: Value = serde_json::from_str(&answer)?;
        if let Some(error) = answer["failed"].as_str() {
            bail!("the client failed: {error}");
        }
        serde_json::from_value(answer.clone()).with_context(|| answer.to_string())
    }
}
