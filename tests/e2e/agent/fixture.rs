//! The setup for tests that inject faults, and the checks that the broker's state is unchanged.

use std::fs;

use anyhow::{Context as _, ensure};
use birthcert_tests::agent::broker_host::Device;
use birthcert_tests::agent::mosquitto_with_agent::{INTERVAL, MosquittoWithAgent};
use birthcert_tests::agent::observed_session::is_refused;
use birthcert_tests::agent::process::Agent;
use birthcert_tests::mqtt::session::Endpoint;
use serde_json::Value;

/// A broker with an agent, a revoked device and a good one.
pub(super) struct Fixture {
    pub(super) mosquitto: MosquittoWithAgent,
    pub(super) agent: Agent,
    pub(super) revoked: Device,
    pub(super) good: Device,
}

impl Fixture {
    pub(super) async fn start() -> anyhow::Result<Self> {
        let (mut mosquitto, mut agent) = MosquittoWithAgent::start(INTERVAL).await?;
        let (revoked, good) = (mosquitto.host.device()?, mosquitto.host.device()?);
        mosquitto.host.revoke(&revoked);
        agent.has(2).await?;
        let fixture = Self { mosquitto, agent, revoked, good };
        fixture.holds().await?;
        Ok(fixture)
    }

    pub(super) fn tcp(&self) -> Endpoint {
        Endpoint::Tcp(self.mosquitto.host.port)
    }

    /// Checks that the revoked device is refused and the good one is let in.
    pub(super) async fn holds(&self) -> anyhow::Result<()> {
        is_refused(&self.revoked, self.tcp()).await?;
        drop(self.mosquitto.lets_in(&self.good, self.tcp()).await?);
        // Whatever the broker has been told since.
        ensure!(self.revoked.client.connect(self.tcp()).await?.is_refused(), "it got in again");
        Ok(())
    }

    /// Waits until the status reports a problem of this level that contains this text.
    pub(super) async fn reports(&mut self, level: &str, text: &str) -> anyhow::Result<Value> {
        self.agent
            .until(|status| {
                let problems = status["problems"].as_array().into_iter().flatten();
                let has = |it: &Value| {
                    it["level"] == level && it["text"].as_str().is_some_and(|it| it.contains(text))
                };
                problems.into_iter().any(has)
            })
            .await
            .with_context(|| format!("{level}: {text}"))
    }

    pub(super) fn installed(&self) -> anyhow::Result<String> {
        Ok(fs::read_to_string(self.mosquitto.command.directory.join("crl.pem"))?)
    }

    /// Checks that the next CRL is accepted once the fault is over.
    pub(super) async fn recovers(&mut self) -> anyhow::Result<()> {
        let late = self.mosquitto.host.device()?;
        drop(self.mosquitto.lets_in(&late, self.tcp()).await?);
        self.mosquitto.host.revoke(&late);
        self.agent.has(self.mosquitto.host.publisher.number).await?;
        // Requests that failed for long are retried only after a while.
        self.agent.until(|status| status["level"] == "ok").await?;
        is_refused(&late, self.tcp()).await?;
        self.holds().await
    }
}
