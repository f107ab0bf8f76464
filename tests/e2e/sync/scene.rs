//! Where something is made to go wrong, and what has to be as before.

use std::fs;

use anyhow::{Context as _, ensure};
use birthcert_tests::agent::Agent;
use birthcert_tests::guarded::{Guarded, INTERVAL};
use birthcert_tests::mqtt_session::Endpoint;
use birthcert_tests::site::{Device, is_refused};
use serde_json::Value;

/// A broker with an agent, a device that is out and one that is not.
pub(super) struct Scene {
    pub(super) guarded: Guarded,
    pub(super) agent: Agent,
    pub(super) out: Device,
    pub(super) good: Device,
}

impl Scene {
    pub(super) async fn start() -> anyhow::Result<Self> {
        let (mut guarded, mut agent) = Guarded::start(INTERVAL).await?;
        let (out, good) = (guarded.site.device()?, guarded.site.device()?);
        guarded.site.revoke(&out);
        agent.has(2).await?;
        let scene = Self { guarded, agent, out, good };
        scene.holds().await?;
        Ok(scene)
    }

    pub(super) fn tcp(&self) -> Endpoint {
        Endpoint::Tcp(self.guarded.site.port)
    }

    /// The one is out, the other is not.
    pub(super) async fn holds(&self) -> anyhow::Result<()> {
        is_refused(&self.out, self.tcp()).await?;
        drop(self.guarded.lets_in(&self.good, self.tcp()).await?);
        // Whatever the broker was told in the meantime.
        ensure!(self.out.client.connect(self.tcp()).await?.is_refused(), "it got in again");
        Ok(())
    }

    /// Waits until the status has a problem with this, of this level.
    pub(super) async fn complains(&mut self, level: &str, text: &str) -> anyhow::Result<Value> {
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
        Ok(fs::read_to_string(self.guarded.beside.directory.join("crl.pem"))?)
    }

    /// After what went wrong, the next CRL is taken as if nothing had been.
    pub(super) async fn recovers(&mut self) -> anyhow::Result<()> {
        let late = self.guarded.site.device()?;
        drop(self.guarded.lets_in(&late, self.tcp()).await?);
        self.guarded.site.revoke(&late);
        self.agent.has(self.guarded.site.publisher.number).await?;
        // What failed for long is asked for again after a while.
        self.agent.until(|status| status["level"] == "ok").await?;
        is_refused(&late, self.tcp()).await?;
        self.holds().await
    }
}
