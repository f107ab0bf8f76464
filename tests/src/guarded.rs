//! A site whose mosquitto runs, with its agent beside it.

use std::time::Instant;

use anyhow::{Context as _, ensure};

use crate::agent::{Agent, Beside, option};
use crate::mosquitto::{Mosquitto, Version, hand_over};
use crate::mqtt_session::Endpoint;
use crate::process::send_signal;
use crate::site::{Device, SOON, Site, Watched, let_the_witnesses_in};

/// Short enough for tests, which wait for it again and again.
pub const INTERVAL: &str = "100ms";

/// A site whose mosquitto runs, with its agent beside it.
pub struct Guarded {
    /// The site.
    pub site: Site,
    /// How its agent is started.
    pub beside: Beside,
    version: Version,
    broker: Option<Mosquitto>,
}

impl Guarded {
    /// Starts both, with this pause between the agent's questions, and waits until the broker has what is published.
    ///
    /// # Errors
    /// One of them does not start.
    pub async fn start(interval: &str) -> anyhow::Result<(Self, Agent)> {
        Self::start_version(Version::V2_0, interval).await
    }

    /// As [`Guarded::start`], with this mosquitto.
    ///
    /// # Errors
    /// As [`Guarded::start`].
    pub async fn start_version(version: Version, interval: &str) -> anyhow::Result<(Self, Agent)> {
        let site = Site::start().await?;
        let conf = site.configure("mosquitto").await?;
        let_the_witnesses_in(&conf.join("acl"))?;
        let options = [
            option("--acl", &conf.join("acl")),
            option("--pid-file", &site.operator.path("revocation/mosquitto.pid")),
        ];
        let beside = site.beside("mosquitto", &options);
        let beside = beside.with(["--interval".into(), interval.into()]);
        let mut agent = beside.start()?;
        // Without its files mosquitto would not start; without mosquitto, the agent waits for it.
        agent.until(|_| beside.directory.join("acl").exists()).await?;
        hand_over(&beside.directory).await?;
        let certificates = site.operator.path("broker");
        let broker = Mosquitto::start_configured(version, &conf, &certificates, site.port).await?;
        agent.has(1).await?;
        Ok((Self { site, beside, version, broker: Some(broker) }, agent))
    }

    /// Kills the broker.
    pub fn stop_broker(&mut self) {
        self.broker = None;
    }

    /// Starts it, as it was started first.
    ///
    /// # Errors
    /// It does not start.
    pub async fn start_broker(&mut self) -> anyhow::Result<()> {
        let (conf, certificates) =
            (self.site.operator.path("conf"), self.site.operator.path("broker"));
        let (version, port) = (self.version, self.site.port);
        let broker = Mosquitto::start_configured(version, &conf, &certificates, port).await?;
        self.broker = Some(broker);
        Ok(())
    }

    /// Has the broker read its files again, whatever the agent does.
    ///
    /// # Errors
    /// It is gone.
    pub async fn reload(&self) -> anyhow::Result<()> {
        send_signal("HUP", self.broker.as_ref().context("it runs")?.pid()).await
    }

    /// The device is let in, and what it says and should hear gets through.
    ///
    /// # Errors
    /// As [`Watched::open`].
    pub async fn lets_in(&self, device: &Device, endpoint: Endpoint) -> anyhow::Result<Watched> {
        let witness = self.site.witness()?;
        Watched::open(device, witness, endpoint, Endpoint::Tcp(self.site.port)).await
    }

    /// Waits until it is let in: the broker does what a signal asks for after it was sent.
    ///
    /// # Errors
    /// It still is not after [`SOON`].
    pub async fn lets_in_soon(&self, device: &Device, endpoint: Endpoint) -> anyhow::Result<()> {
        let deadline = Instant::now() + SOON;
        while let Err(error) = self.lets_in(device, endpoint).await {
            ensure!(Instant::now() < deadline, "it does not get in: {error:#}");
        }
        Ok(())
    }
}
