//! A device's MQTT session, observed by a service that sees which of its messages get through.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use crate::agent::broker_host::Device;
use crate::mqtt::session::{Client, Endpoint, Session};
use crate::mqtt::session_end::Heard;

/// Limit for a broker's reaction to a signal, which is asynchronous. Generous, for machines that
/// compile at the same time.
pub const SOON: Duration = Duration::from_secs(40);
/// Limit for messages that must not arrive.
const MOMENT: Duration = Duration::from_millis(500);

/// A device's open session, and an observer's that shows which messages of the device pass.
pub struct ObservedSession {
    /// The device's session.
    pub device: Session,
    observer: Session,
    topic: String,
    round: u32,
}

impl ObservedSession {
    /// Opens both sessions, and checks that messages pass in both directions.
    ///
    /// # Errors
    /// If a session is refused, or a message does not arrive.
    pub async fn open(
        device: &Device,
        observer: Client,
        endpoint: Endpoint,
        observer_endpoint: Endpoint,
    ) -> anyhow::Result<Self> {
        let mut sessions = Self {
            device: device.client.connect(endpoint).await?.open().context("the device")?,
            observer: observer.connect(observer_endpoint).await?.open().context("the observer")?,
            topic: device.topic(""),
            round: 0,
        };
        let (up, down) = (format!("{}up/#", sessions.topic), format!("{}down", sessions.topic));
        ensure!(sessions.observer.subscribe(&up).await?, "the observer's subscription");
        ensure!(sessions.device.subscribe(&down).await?, "the device's subscription");
        ensure!(sessions.is_heard().await?, "what the device publishes");
        ensure!(sessions.hears().await?, "what the device is sent");
        Ok(sessions)
    }

    /// Returns true if a message that the device publishes now arrives.
    ///
    /// # Errors
    /// If the observer's session ended, or a client fails.
    pub async fn is_heard(&mut self) -> anyhow::Result<bool> {
        self.round += 1;
        let (mine, end) = (format!("mine {}", self.round), format!("end {}", self.round));
        // Not acknowledged if the broker has ended the session, which it may do at any time.
        self.device.publish(&format!("{}up/mine", self.topic), &mine).await?;
        self.publish_as_observer("up/end", &end).await?;
        let next = self.observer.next().await?;
        if next.as_deref() == Some(&mine) {
            ensure!(self.observer.next().await?.as_deref() == Some(&end), "in order");
            return Ok(true);
        }
        ensure!(next.as_deref() == Some(&end), "{next:?}");
        Ok(false)
    }

    /// Returns true if a message to the device arrives now.
    ///
    /// # Errors
    /// If the observer's session ended, or a client fails.
    pub async fn hears(&mut self) -> anyhow::Result<bool> {
        self.hears_within(SOON).await
    }

    async fn hears_within(&mut self, limit: Duration) -> anyhow::Result<bool> {
        self.round += 1;
        let sent = format!("for you {}", self.round);
        self.publish_as_observer("down", &sent).await?;
        match self.device.hear(limit).await? {
            Heard::Message(payload) => {
                ensure!(payload == sent, "{payload:?} arrived instead of {sent:?}");
                Ok(true)
            }
            Heard::Silence | Heard::Ended(_) => Ok(false),
        }
    }

    /// Publishes as the observer, who may.
    async fn publish_as_observer(&mut self, topic: &str, payload: &str) -> anyhow::Result<()> {
        let published = self.observer.publish(&format!("{}{topic}", self.topic), payload).await?;
        ensure!(published, "the observer's session ended");
        Ok(())
    }

    /// Waits until no message of the device passes, in either direction.
    ///
    /// # Errors
    /// If a message still passes after [`SOON`].
    pub async fn is_cut_off(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + SOON;
        while self.is_heard().await? {
            ensure!(Instant::now() < deadline, "it still publishes");
        }
        while self.hears_within(MOMENT).await? {
            ensure!(Instant::now() < deadline, "it still receives");
        }
        // And none passes later.
        let is_back = self.is_heard().await? || self.hears_within(MOMENT).await?;
        ensure!(!is_back, "messages pass again");
        Ok(())
    }
}

/// Checks that a device receives its own message, by a subscription with this QoS.
///
/// # Errors
/// If the message does not arrive.
pub async fn echoes(device: &Device, session: &mut Session, qos: u8) -> anyhow::Result<()> {
    ensure!(session.subscribe_at(&device.topic("up"), qos).await?, "its own topics");
    ensure!(session.publish(&device.topic("up"), "mine").await?, "a publish");
    ensure!(session.next().await?.as_deref() == Some("mine"), "what it published");
    Ok(())
}

/// Waits until this device is refused.
///
/// # Errors
/// If the device is still let in after [`SOON`], or is neither let in nor refused by the broker.
pub async fn is_refused(device: &Device, endpoint: Endpoint) -> anyhow::Result<()> {
    is_refused_to(&device.client, endpoint).await
}

/// As [`is_refused`], of any client.
///
/// # Errors
/// As [`is_refused`].
pub async fn is_refused_to(client: &Client, endpoint: Endpoint) -> anyhow::Result<()> {
    let deadline = Instant::now() + SOON;
    while !client.connect(endpoint).await?.is_refused() {
        ensure!(Instant::now() < deadline, "it still gets in");
    }
    Ok(())
}
