//! What nats-server says of itself on its monitoring port. SIGHUP is no proof: a configuration in which
//! anything changed that cannot change at a reload is refused as a whole, which only the log says.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use reqwest::{Client, Url};
use serde::Deserialize;
use tokio::time::sleep;

/// For an answer, which comes from this machine.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// For a reload, or for a start.
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
        Ok(Self { client: Client::builder().timeout(ANSWER_LIMIT).no_proxy().build()?, varz })
    }

    /// When the configuration was read that is in force; none, if nobody listens there.
    pub(super) async fn load_time(&self) -> anyhow::Result<Option<String>> {
        let answer = match self.client.get(self.varz.clone()).send().await {
            Err(error) if error.is_connect() => return Ok(None),
            answer => answer?.error_for_status()?.bytes().await?,
        };
        let varz: Varz = serde_json::from_slice(&answer)
            .with_context(|| format!("{} is not nats-server's", self.varz))?;
        Ok(Some(varz.config_load_time))
    }

    /// Waits for another configuration than that of `before` to be in force.
    pub(super) async fn changed(&self, before: Option<&str>) -> anyhow::Result<()> {
        let deadline = Instant::now() + LIMIT;
        loop {
            let now = self.load_time().await?;
            if now.is_some() && now.as_deref() != before {
                return Ok(());
            }
            let is_late = Instant::now() >= deadline;
            ensure!(!is_late || now.is_some(), "nobody answers at {}", self.varz);
            ensure!(!is_late, "nats-server did not take the configuration; its log says why");
            sleep(PAUSE).await;
        }
    }
}
