//! The agent beside Debian's mosquitto, by TCP and by WebSocket.

use std::fs;
use std::time::Instant;

use anyhow::ensure;

use birthcert_tests::guarded::{Guarded, INTERVAL};
use birthcert_tests::site::{SOON, is_refused};

pub(crate) fn tests() -> Vec<crate::Alone> {
    crate::alone![
        a_revoked_device_is_out,
        what_a_denied_device_can_still_do,
        a_hold_that_ends_lets_the_device_in_again,
        the_operators_rules_are_read_again,
    ]
}

async fn a_revoked_device_is_out() -> anyhow::Result<()> {
    let (mut guarded, mut agent) = Guarded::start(INTERVAL).await?;
    let [tcp, wss] = guarded.site.endpoints();
    // Open all the time: mosquitto 2.0.11 crashes at the first WebSocket after the last one closed, if
    // there was a SIGHUP while one was open.
    let carol = guarded.site.device()?;
    let mut carols = guarded.lets_in(&carol, wss).await?;
    for endpoint in [tcp, wss] {
        let (alice, bob) = (guarded.site.device()?, guarded.site.device()?);
        let mut alices = guarded.lets_in(&alice, endpoint).await?;

        guarded.site.revoke(&alice);
        agent.has(guarded.site.publisher.number).await?;
        alices.is_cut_off().await?;
        is_refused(&alice, tcp).await?;

        // And nobody else: neither who comes nor who is there.
        drop(guarded.lets_in(&bob, endpoint).await?);
        ensure!(carols.is_heard().await? && carols.hears().await?, "carol is cut off, too");
    }
    ensure!(agent.stop().await?.success());
    Ok(())
}

/// What docs/brokers.md says of mosquitto 2.0.11, which checks no CRL on WebSockets.
async fn what_a_denied_device_can_still_do() -> anyhow::Result<()> {
    let (mut guarded, mut agent) = Guarded::start(INTERVAL).await?;
    let [tcp, wss] = guarded.site.endpoints();
    let alice = guarded.site.device()?;
    guarded.site.revoke(&alice);
    agent.has(2).await?;
    is_refused(&alice, tcp).await?;

    // It gets a session, and nothing comes of it.
    let mut alices = alice.client.connect(wss).await?.open()?;
    let mut witness = guarded.site.witness()?.connect(tcp).await?.open()?;
    ensure!(witness.subscribe("devices/#").await?);
    for topic in [alice.topic("up"), "$SYS/broker".into(), "telemetry".into()] {
        alices.subscribe(&topic).await?;
        alices.publish(&topic, "forged").await?;
    }
    ensure!(witness.publish(&alice.topic("up"), "own").await?);
    ensure!(witness.next().await?.as_deref() == Some("own"), "a denied device's message arrived");
    alices.quiet(SOON / 10).await?;
    Ok(())
}

async fn a_hold_that_ends_lets_the_device_in_again() -> anyhow::Result<()> {
    let (mut guarded, mut agent) = Guarded::start(INTERVAL).await?;
    let [tcp, _] = guarded.site.endpoints();
    let alice = guarded.site.device()?;
    guarded.site.revoke(&alice);
    agent.has(2).await?;
    is_refused(&alice, tcp).await?;

    guarded.site.publisher.revoked.clear();
    guarded.site.publisher.denied.clear();
    guarded.site.publisher.publish();
    agent.has(3).await?;
    // The broker does what a signal asks for after it was sent.
    let deadline = Instant::now() + SOON;
    while let Err(error) = guarded.lets_in(&alice, tcp).await {
        ensure!(Instant::now() < deadline, "it does not get in again: {error:#}");
    }
    Ok(())
}

async fn the_operators_rules_are_read_again() -> anyhow::Result<()> {
    let (mut guarded, mut agent) = Guarded::start(INTERVAL).await?;
    let [tcp, _] = guarded.site.endpoints();
    let (alice, bob) = (guarded.site.device()?, guarded.site.device()?);
    guarded.site.revoke(&alice);
    agent.has(2).await?;

    let rules = guarded.site.operator.path("conf/acl");
    let text = fs::read_to_string(&rules)?;
    fs::write(&rules, format!("{text}\npattern read news/%u\n"))?;
    let acl = guarded.beside.directory.join("acl");
    let id = alice.id.to_string();
    agent
        .until(|status| {
            let made = fs::read_to_string(&acl).unwrap_or_default();
            status["applied"] == true && made.contains("news/%u") && made.contains(&id)
        })
        .await?;
    drop(guarded.lets_in(&bob, tcp).await?);
    is_refused(&alice, tcp).await?;
    Ok(())
}
