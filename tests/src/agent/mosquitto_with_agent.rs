//! A host with a running mosquitto and its agent.

use std::time::Instant;

use anyhow::{Context as _, ensure};

use crate::agent::broker_host::{BrokerHost, Device, allow_observers};
use crate::agent::observed_session::{ObservedSession, SOON};
use crate::agent::process::{Agent, AgentCommand};
use crate::brokers::mosquitto::{Mosquitto, Version, chown_to_mosquitto};
use crate::mqtt::session::Endpoint;
use crate::process::{option, send_signal};

/// Short, because the tests wait for it often.
pub const INTERVAL: &str = "100ms";

/// A host with a running mosquitto and its agent.
pub struct MosquittoWithAgent {
    /// The host.
    pub host: BrokerHost,
    /// The command that starts the agent.
    pub command: AgentCommand,
    version: Version,
    broker: Option<Mosquitto>,
}

impl MosquittoWithAgent {
    /// Starts both with this polling interval, and waits until the broker has what is published.
    ///
    /// # Errors
    /// If one of them does not start.
    pub async fn start(interval: &str) -> anyhow::Result<(Self, Agent)> {
        Self::start_version(Version::V2_0, interval).await
    }

    /// As [`MosquittoWithAgent::start`], with this version of mosquitto.
    ///
    /// # Errors
    /// As [`MosquittoWithAgent::start`].
    pub async fn start_version(version: Version, interval: &str) -> anyhow::Result<(Self, Agent)> {
        let host = BrokerHost::start().await?;
        let conf = host.configure("mosquitto").await?;
        allow_observers(&conf.join("acl"))?;
        let options = [
            option("--acl", &conf.join("acl")),
            option("--pid-file", &host.operator.path("revocation/mosquitto.pid")),
        ];
        let command = host.agent_command("mosquitto", &options);
        let command = command.with(["--interval".into(), interval.into()]);
        let mut agent = command.start()?;
        // mosquitto does not start without the agent's files; the agent waits for mosquitto.
        agent.until(|_| command.directory.join("acl").exists()).await?;
        chown_to_mosquitto(&command.directory).await?;
        let certificates = host.operator.path("broker");
        let broker = Mosquitto::start_configured(version, &conf, &certificates, host.port).await?;
        agent.has(1).await?;
        Ok((Self { host, command, version, broker: Some(broker) }, agent))
    }

    /// Kills the broker.
    pub fn stop_broker(&mut self) {
        self.broker = None;
    }

    /// Starts the broker again, as before.
    ///
    /// # Errors
    /// If the broker does not start.
    pub async fn start_broker(&mut self) -> anyhow::Result<()> {
        let (conf, certificates) =
            (self.host.operator.path("conf"), self.host.operator.path("broker"));
        let (version, port) = (self.version, self.host.port);
        let broker = Mosquitto::start_configured(version, &conf, &certificates, port).await?;
        self.broker = Some(broker);
        Ok(())
    }

    /// Makes the broker reload its files, independently of the agent.
    ///
    /// # Errors
    /// If the broker is gone.
    pub async fn reload(&self) -> anyhow::Result<()> {
        send_signal("HUP", self.broker.as_ref().context("it runs")?.pid()).await
    }

    /// Checks that the device is let in, and that its messages pass in both directions.
    ///
    /// # Errors
    /// As [`ObservedSession::open`].
    pub async fn lets_in(
        &self,
        device: &Device,
        endpoint: Endpoint,
    ) -> anyhow::Result<ObservedSession> {
        let observer = self.host.observer()?;
        ObservedSession::open(device, observer, endpoint, Endpoint::Tcp(self.host.port)).await
    }

    /// Waits until the device is let in, since the broker acts on a signal only after it was sent.
    ///
    /// # Errors
    /// If the device is still refused after [`SOON`].
    pub async fn lets_in_soon(&self, device: &Device, endpoint: Endpoint) -> anyhow::Result<()> {
        let deadline = Instant::now() + SOON;
        while let Err(error) = self.lets_in(device, endpoint).await {
            ensure!(Instant::now() < deadline, "it does not get in: {error:#}");
        }
        Ok(())
    }
}
