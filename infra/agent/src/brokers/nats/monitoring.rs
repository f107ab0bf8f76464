//! Confirms reloads on nats-server's monitoring port.
//!
//! Sending SIGHUP proves nothing: nats-server rejects a whole configuration if any setting in it
//! cannot change at a reload, and reports that only in its log.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use reqwest::{Client, Url};
use serde::Deserialize;
use tokio::time::sleep;

/// Limit for a response, which comes from this machine.
const RESPONSE_LIMIT: Duration = Duration::from_secs(5);
/// Limit for a reload or a start.
const LIMIT: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(50);

pub(super) struct Monitoring {
    client: Client,
    varz: Url,
}

#[derive(Deserialize)]
struct Varz {
    config_load_time: String,
}

impl Monitoring {
    pub(super) fn new(base: &Url) -> anyhow::Result<Self> {
        let varz = format!("{}/varz", base.as_str().trim_end_matches('/')).parse()?;
        Ok(Self { client: Client::builder().timeout(RESPONSE_LIMIT).no_proxy().build()?, varz })
    }

    /// Returns when the current configuration was loaded, or `None` if nothing listens on the port.
    pub(super) async fn load_time(&self) -> anyhow::Result<Option<String>> {
        let response = match self.client.get(self.varz.clone()).send().await {
            Err(error) if error.is_connect() => return Ok(None),
            response => response?.error_for_status()?.bytes().await?,
        };
        let varz: Varz = serde_json::from_slice(&response)
            .with_context(|| format!("unexpected response from nats-server at {}", self.varz))?;
        Ok(Some(varz.config_load_time))
    }

    /// Waits until a configuration is in force that was loaded at another time than `before`.
    pub(super) async fn wait_for_change(&self, before: Option<&str>) -> anyhow::Result<()> {
        let deadline = Instant::now() + LIMIT;
        loop {
            let now = self.load_time().await?;
            if now.is_some() && now.as_deref() != before {
                return Ok(());
            }
            let is_late = Instant::now() >= deadline;
            ensure!(!is_late || now.is_some(), "no response from {}", self.varz);
            ensure!(!is_late, "nats-server rejected the configuration: see its log");
            sleep(PAUSE).await;
        }
    }
}
