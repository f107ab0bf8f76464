//! The whole way of a revocation: from the operator's command, through a stack, to the broker.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use birthcert_tests::agent::mosquitto_with_agent::INTERVAL;
use birthcert_tests::agent::observed_session::SOON;
use birthcert_tests::agent::stack_with_broker::StackWithBroker;
use birthcert_tests::brokers::kind::BrokerKind;
use birthcert_tests::brokers::mosquitto::Version;
use birthcert_tests::mqtt::raw_session::TlsIdentity;
use birthcert_tests::mqtt::session_end::Heard;
use tokio::time::sleep;

pub(crate) fn tests() -> Vec<crate::suite::StandaloneTest> {
    crate::suite::standalone![a_revoked_device_is_out_and_one_on_hold_comes_back]
}

/// A message that has not come back by then is lost.
const LOST: Duration = Duration::from_secs(2);

async fn a_revoked_device_is_out_and_one_on_hold_comes_back() -> anyhow::Result<()> {
    let (mut setup, agent) =
        StackWithBroker::start(BrokerKind::Mosquitto(Version::V2_0), INTERVAL, 2).await?;
    let [tcp, _] = setup.endpoints();
    let (alice, bob) = (setup.device()?, setup.device()?);
    let (alices, bobs) = (TlsIdentity::of(&alice)?, TlsIdentity::of(&bob)?);
    let topic = format!("devices/{}/up", alice.id);
    let mut session = alices.connect(tcp).await?.context("alice is let in")?;
    session.subscribe(&topic).await?;
    ensure!(session.echo(&topic, "first", SOON).await? == Heard::Message("first".into()));

    let revoke = format!("device revoke {} --reason certificateHold --yes", alice.id);
    setup.operator.run(&revoke).await?.done()?;
    let end = Instant::now() + SOON;
    while matches!(session.echo(&topic, "still", LOST).await?, Heard::Message(_)) {
        ensure!(Instant::now() < end, "its session goes on");
    }
    let end = Instant::now() + SOON;
    while alices.connect(tcp).await?.is_ok() {
        ensure!(Instant::now() < end, "it is still let in");
    }
    bobs.connect(tcp).await?.context("another is not let in")?;

    setup.operator.run(&format!("device release-hold {} --yes", alice.id)).await?.done()?;
    let end = Instant::now() + SOON;
    loop {
        if let Ok(mut session) = alices.connect(tcp).await? {
            session.subscribe(&topic).await?;
            if matches!(session.echo(&topic, "again", LOST).await?, Heard::Message(_)) {
                break;
            }
        }
        ensure!(Instant::now() < end, "it does not get in again");
        sleep(Duration::from_millis(50)).await;
    }
    ensure!(agent.stop().await?.success());
    setup.stack.stop().await
}
