//! A device's side of MQTT: `mosquitto_pub` and `mosquitto_sub`, one TLS session a call.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;

use crate::tool::{self, Finished};

/// Marks the lines of `mosquitto_sub` that are messages, among its debugging output.
const MESSAGE: &str = "message: ";

/// The line that `mosquitto_sub` prints when its first subscription is granted, with QoS 1.
const SUBSCRIBED: &str = "Subscribed (mid: 1): 1";

/// A client of a broker on 127.0.0.1, whose certificate has to name that address.
#[derive(Clone, Debug)]
pub struct MqttClient {
    /// The broker's port.
    pub port: u16,
    /// What the client trusts, in PEM.
    pub cafile: PathBuf,
    /// What the client shows: its certificate chain and its key, in PEM.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// What came of one session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The broker did not take the client's certificate, or missed one. Why is in its log only:
    /// in TLS 1.3 a client may be told, or just cut off, as the timing falls.
    BrokerRefused,
    /// The client did not take the broker's certificate.
    ClientRefused,
    /// The broker's access rules stand against it.
    Denied,
    /// The broker acknowledged the message.
    Published,
    /// This message came.
    Received(String),
    /// The subscription stood, and nothing came in time.
    Nothing,
}

impl MqttClient {
    /// Publishes a message that the broker retains.
    ///
    /// Retained, because the broker allows a certificate one session at a time: who subscribes
    /// with the same certificate comes after, and still gets it.
    ///
    /// # Errors
    /// The session ended in another way than those an [`Outcome`] names.
    pub async fn publish(&self, topic: &str, payload: &str) -> anyhow::Result<Outcome> {
        let args = ["--retain", "-m", payload];
        let finished = self.run("mosquitto_pub", topic, &args).await?;
        if let Some(refusal) = refusal(&finished) {
            return Ok(refusal);
        }
        // MQTT 5 reasons: 0 and 16 are success, with and without subscribers; 135 is the ACL's.
        // mosquitto_pub ends with 0 in all three cases.
        match acknowledgement(&finished.output) {
            Some("0" | "16") => Ok(Outcome::Published),
            Some("135") => Ok(Outcome::Denied),
            _ => bail!("mosquitto_pub ({}):\n{}", finished.status, finished.output),
        }
    }

    /// Subscribes and waits for the first message: for `limit` at most, in whole seconds.
    ///
    /// mosquitto grants every subscription and holds back what the client may not read, so a
    /// forbidden topic gives [`Outcome::Nothing`].
    ///
    /// # Errors
    /// The session ended in another way than those an [`Outcome`] names.
    pub async fn subscribe_one(&self, topic: &str, limit: Duration) -> anyhow::Result<Outcome> {
        let seconds = limit.as_secs().max(1).to_string();
        let format = format!("{MESSAGE}%p");
        let args = ["-C", "1", "-W", &seconds, "-F", &format];
        let finished = self.run("mosquitto_sub", topic, &args).await?;
        if let Some(refusal) = refusal(&finished) {
            return Ok(refusal);
        }
        match finished.output.lines().find_map(|line| line.strip_prefix(MESSAGE)) {
            Some(message) => Ok(Outcome::Received(message.to_owned())),
            None if finished.output.lines().any(|line| line == SUBSCRIBED) => Ok(Outcome::Nothing),
            None => bail!("mosquitto_sub ({}):\n{}", finished.status, finished.output),
        }
    }

    /// One session, in MQTT 5 with QoS 1: the only kind in which a broker says that it dropped a
    /// message.
    async fn run(&self, tool: &str, topic: &str, args: &[&str]) -> anyhow::Result<Finished> {
        let port = self.port.to_string();
        let mut all: Vec<OsString> =
            ["-d", "-V", "mqttv5", "-q", "1", "-h", "127.0.0.1", "-p", &port, "-t", topic]
                .iter()
                .chain(args)
                .map(OsString::from)
                .collect();
        all.extend(["--cafile".into(), self.cafile.clone().into()]);
        if let Some((chain, key)) = &self.identity {
            all.extend(["--cert".into(), chain.into(), "--key".into(), key.into()]);
        }
        tool::run(tool, all).await
    }
}

/// Whose handshake failed, if one did. A broker that is not there is neither: the client then got
/// as far as neither of these lines.
fn refusal(finished: &Finished) -> Option<Outcome> {
    let output = &finished.output;
    if output.contains("received CONNACK") {
        None
    } else if output.contains("certificate verify failed") {
        Some(Outcome::ClientRefused)
    } else if output.contains("sending CONNECT") {
        Some(Outcome::BrokerRefused)
    } else {
        None
    }
}

/// The reason code of the line `Client … received PUBACK (Mid: 1, RC:135)`.
fn acknowledgement(output: &str) -> Option<&str> {
    let (_, rest) = output.split_once("received PUBACK ")?;
    let (_, rest) = rest.split_once("RC:")?;
    rest.split_once(')').map(|(code, _)| code)
}
