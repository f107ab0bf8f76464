//! From the operator's command on a whole stack to the broker.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use birthcert_tests::brokers::Kind;
use birthcert_tests::guarded::INTERVAL;
use birthcert_tests::guarded_stack::GuardedStack;
use birthcert_tests::mosquitto::Version;
use birthcert_tests::mqtt_raw::Identity;
use birthcert_tests::site::SOON;
use tokio::time::sleep;

pub(crate) fn tests() -> Vec<crate::Alone> {
    crate::alone![a_revoked_device_is_out_and_one_on_hold_comes_back]
}

async fn a_revoked_device_is_out_and_one_on_hold_comes_back() -> anyhow::Result<()> {
    let (mut guarded, agent) =
        GuardedStack::start(Kind::Mosquitto(Version::V2_0), INTERVAL, 2).await?;
    let [tcp, _] = guarded.endpoints();
    let (alice, bob) = (guarded.device()?, guarded.device()?);
    let (alices, bobs) = (Identity::of(&alice)?, Identity::of(&bob)?);
    let topic = format!("devices/{}/up", alice.id);
    let mut session = alices.connect(tcp).await?.context("alice is let in")?;
    session.subscribe(&topic).await?;
    ensure!(session.comes_back(&topic, "first", SOON).await?);

    let revoke = format!("device revoke {} --reason certificateHold --yes", alice.id);
    guarded.operator.run(&revoke).await?.done()?;
    let end = Instant::now() + SOON;
    while session.comes_back(&topic, "still", Duration::from_millis(200)).await? {
        ensure!(Instant::now() < end, "its session goes on");
    }
    let end = Instant::now() + SOON;
    while alices.connect(tcp).await?.is_ok() {
        ensure!(Instant::now() < end, "it is still let in");
    }
    bobs.connect(tcp).await?.context("another is not let in")?;

    guarded.operator.run(&format!("device release-hold {} --yes", alice.id)).await?.done()?;
    let end = Instant::now() + SOON;
    loop {
        if let Ok(mut session) = alices.connect(tcp).await? {
            session.subscribe(&topic).await?;
            if session.comes_back(&topic, "again", Duration::from_secs(2)).await? {
                break;
            }
        }
        ensure!(Instant::now() < end, "it does not get in again");
        sleep(Duration::from_millis(50)).await;
    }
    ensure!(agent.stop().await?.success());
    guarded.stack.stop().await
}
