//! `mosquitto_pub` and `mosquitto_sub` as a device's MQTT client, with one TLS session per call.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;

use crate::process::tool::{self, ToolOutput};

/// Marks the messages among the debugging output of `mosquitto_sub`.
const MESSAGE: &str = "message: ";

/// The line that `mosquitto_sub` prints once its first subscription is granted, with QoS 1.
const SUBSCRIBED: &str = "Subscribed (mid: 1): 1";

/// The lines that the clients print when the broker ends the connection. A TLS alert that a reset
/// overtakes is a protocol error for them.
const ENDED: [&str; 4] = [
    "Error: The connection was lost.",
    "Error: Protocol error",
    "Error: Broken pipe",
    "Error: Connection reset by peer",
];

/// A client of a broker on 127.0.0.1, whose certificate must name that address.
#[derive(Clone, Debug)]
pub struct MosquittoClient {
    /// The broker's port.
    pub port: u16,
    /// The client's trust anchors, in PEM.
    pub cafile: PathBuf,
    /// The client's certificate chain and its key, in PEM.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// The outcome of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The broker rejected or missed the client's certificate. Only its log says why: in TLS 1.3
    /// the client may get an alert or just a closed connection.
    BrokerRefused,
    /// The client rejected the broker's certificate.
    ClientRefused,
    /// The broker's access rules deny it.
    Denied,
    /// The broker acknowledged the message.
    Published,
    /// A message arrived.
    Received(String),
    /// The subscription was granted, and nothing arrived in time.
    Nothing,
}

impl MosquittoClient {
    /// Publishes a retained message.
    ///
    /// The broker allows each certificate one session at a time: a subscriber with the same
    /// certificate connects later, and still gets a retained message.
    ///
    /// # Errors
    /// If the session ends in a way that [`Outcome`] does not cover.
    pub async fn publish(&self, topic: &str, payload: &str) -> anyhow::Result<Outcome> {
        let args = ["--retain", "-m", payload];
        let finished = self.run("mosquitto_pub", topic, &args).await?;
        if let Some(refusal) = refusal(&finished.output) {
            return Ok(refusal);
        }
        // MQTT 5 reason codes: 0 and 16 are success, with and without subscribers; 135 is the
        // ACL's. mosquitto_pub exits with 0 in all three cases.
        match acknowledgement(&finished.output) {
            Some("0" | "16") => Ok(Outcome::Published),
            Some("135") => Ok(Outcome::Denied),
            _ => bail!("mosquitto_pub ({}):\n{}", finished.status, finished.output),
        }
    }

    /// Subscribes and waits for the first message, for `limit` at most, in whole seconds.
    ///
    /// mosquitto grants every subscription and withholds what the client may not read, so a
    /// forbidden topic gives [`Outcome::Nothing`].
    ///
    /// # Errors
    /// If the session ends in a way that [`Outcome`] does not cover.
    pub async fn subscribe_one(&self, topic: &str, limit: Duration) -> anyhow::Result<Outcome> {
        let seconds = limit.as_secs().max(1).to_string();
        let format = format!("{MESSAGE}%p");
        let args = ["-C", "1", "-W", &seconds, "-F", &format];
        let finished = self.run("mosquitto_sub", topic, &args).await?;
        if let Some(refusal) = refusal(&finished.output) {
            return Ok(refusal);
        }
        match finished.output.lines().find_map(|line| line.strip_prefix(MESSAGE)) {
            Some(message) => Ok(Outcome::Received(message.to_owned())),
            None if finished.output.lines().any(|line| line == SUBSCRIBED) => Ok(Outcome::Nothing),
            None => bail!("mosquitto_sub ({}):\n{}", finished.status, finished.output),
        }
    }

    /// Runs one session, in MQTT 5 with QoS 1: only then does a broker report a message that it
    /// dropped.
    async fn run(&self, tool: &str, topic: &str, args: &[&str]) -> anyhow::Result<ToolOutput> {
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

/// Returns which side's handshake failed, if any. Without a broker, with one that does not answer, or
/// with one whose CONNACK refuses, neither did.
fn refusal(output: &str) -> Option<Outcome> {
    let is_alert = |line: &str| line.starts_with("OpenSSL Error") && line.contains(" alert ");
    if output.contains("received CONNACK") {
        None
    } else if output.contains("certificate verify failed") {
        Some(Outcome::ClientRefused)
    } else if output.lines().any(|line| ENDED.contains(&line) || is_alert(line)) {
        Some(Outcome::BrokerRefused)
    } else {
        None
    }
}

/// Returns the reason code of the line `Client … received PUBACK (Mid: 1, RC:135)`.
fn acknowledgement(output: &str) -> Option<&str> {
    let (_, rest) = output.split_once("received PUBACK ")?;
    let (_, rest) = rest.split_once("RC:")?;
    rest.split_once(')').map(|(code, _)| code)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONNECT: &str = "Client (null) sending CONNECT\n";

    #[test]
    fn only_a_broker_that_ends_the_handshake_refused() {
        for ending in [
            "Error: The connection was lost.",
            "Error: Protocol error",
            "Error: Broken pipe",
            "OpenSSL Error[0]: error:0A000415:SSL routines::sslv3 alert certificate expired",
        ] {
            assert_eq!(refusal(&format!("{CONNECT}{ending}")), Some(Outcome::BrokerRefused));
        }
        let untrusted = "Error: A TLS error occurred.\n\
             OpenSSL Error[0]: error:0A000086:SSL routines::certificate verify failed";
        assert_eq!(refusal(&format!("{CONNECT}{untrusted}")), Some(Outcome::ClientRefused));
        // Without an answer, mosquitto_sub prints nothing more until its time is over.
        for output in [CONNECT, "Error: Connection refused"] {
            assert_eq!(refusal(output), None, "{output}");
        }
    }

    #[test]
    fn a_broker_that_refuses_the_session_did_not_refuse_the_certificate() {
        let output = "Connection error: Not authorized\nClient (null) received CONNACK (135)\n\
             Error: The connection was lost.";
        assert_eq!(refusal(output), None);
    }
}
