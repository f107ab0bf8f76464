//! An attacker in the middle who cannot forge documents, but withholds or delays them.

use std::time::{Duration, Instant};

use anyhow::ensure;
use birthcert_tests::agent::observed_session::is_refused;
use birthcert_tests::agent::publication_server::SlowResponse;
use tokio::time::sleep;

use super::fixture::Fixture;

pub(crate) fn tests() -> Vec<crate::suite::StandaloneTest> {
    crate::suite::standalone![
        an_old_crl_without_a_successor_is_reported,
        a_slow_ca_delays_no_other,
        a_late_crl_is_applied,
        a_late_deny_list_is_reported_and_applied,
    ]
}

const CRL: &str = "crl/device.crl";
/// Longer than any other wait of the agent.
const LATE: SlowResponse = SlowResponse::After(Duration::from_secs(4));

async fn an_old_crl_without_a_successor_is_reported() -> anyhow::Result<()> {
    let mut fixture = Fixture::start().await?;
    let publisher = &mut fixture.mosquitto.host.publisher;
    publisher.number = 3;
    let day_old = publisher.crl("device", 3, 24 * 60 * 60);
    publisher.publication.put(CRL, day_old.der().to_vec());
    // Everything else is unchanged and answered by 304.
    let status = fixture.reports("warning", "a newer CRL may be withheld").await?;
    ensure!(status["level"] == "warning" && status["problems"][0]["about"] == "CA device's CRL");
    ensure!(status["problems"].as_array().is_some_and(|it| it.len() == 1), "{status}");
    fixture.holds().await?;
    fixture.recovers().await
}

async fn a_slow_ca_delays_no_other() -> anyhow::Result<()> {
    let mut fixture = Fixture::start().await?;
    let late = fixture.mosquitto.host.device()?;
    drop(fixture.mosquitto.lets_in(&late, fixture.tcp()).await?);
    let publisher = &mut fixture.mosquitto.host.publisher;
    publisher.publication.set_slow(Some(("crl/service.crl", SlowResponse::Trickling)));
    publisher.publish();
    // The agent gives up on it after 26 seconds.
    let deadline = Instant::now() + Duration::from_secs(20);
    while publisher.publication.slow_answers() != (1, true) {
        ensure!(Instant::now() < deadline, "nobody asks for it");
        sleep(Duration::from_millis(5)).await;
    }
    fixture.mosquitto.host.revoke(&late);
    is_refused(&late, fixture.tcp()).await?;
    let slow = fixture.mosquitto.host.publisher.publication.slow_answers();
    ensure!(slow == (1, true), "it was waited for: {slow:?}");
    fixture.reports("warning", "response is too slow").await?;
    fixture.mosquitto.host.publisher.publication.set_slow(None);
    fixture.recovers().await
}

async fn a_late_crl_is_applied() -> anyhow::Result<()> {
    let mut fixture = Fixture::start().await?;
    let late = fixture.mosquitto.host.device()?;
    drop(fixture.mosquitto.lets_in(&late, fixture.tcp()).await?);
    fixture.mosquitto.host.publisher.publication.set_slow(Some((CRL, LATE)));
    fixture.mosquitto.host.revoke(&late);
    let status = fixture.agent.has(fixture.mosquitto.host.publisher.number).await?;
    ensure!(status["level"] == "ok", "{status}");
    is_refused(&late, fixture.tcp()).await?;
    fixture.holds().await
}

async fn a_late_deny_list_is_reported_and_applied() -> anyhow::Result<()> {
    let mut fixture = Fixture::start().await?;
    let late = fixture.mosquitto.host.device()?;
    drop(fixture.mosquitto.lets_in(&late, fixture.tcp()).await?);
    fixture.mosquitto.host.publisher.publication.set_slow(Some(("denied/", LATE)));
    fixture.mosquitto.host.revoke(&late);
    let status = fixture.reports("warning", "download still in progress").await?;
    ensure!(status["denied_devices"] == 1, "{status}");
    // By the CRL, which has arrived.
    is_refused(&late, fixture.tcp()).await?;
    let status = fixture.agent.has(fixture.mosquitto.host.publisher.number).await?;
    ensure!(status["level"] == "ok" && status["denied_devices"] == 2, "{status}");
    fixture.holds().await
}
