//! The agent beside Debian's mosquitto, of this release and of the next, by TCP and by WebSocket.

use std::fs;
use std::time::Instant;

use anyhow::ensure;
use birthcert_tests::agent::Agent;
use birthcert_tests::guarded::{Guarded, INTERVAL};
use birthcert_tests::mosquitto::Version;
use birthcert_tests::site::{SOON, is_refused};

use crate::brokers::mosquitto::each_version;

pub(crate) fn tests() -> Vec<crate::Alone> {
    each_version![
        a_revoked_device_is_out,
        what_a_denied_device_can_still_do,
        topics_that_begin_with_a_dollar_are_denied_too,
        a_hold_that_ends_lets_the_device_in_again,
        the_operators_rules_are_read_again,
    ]
}

async fn a_revoked_device_is_out(version: Version) -> anyhow::Result<()> {
    let (mut guarded, mut agent) = Guarded::start_version(version, INTERVAL).await?;
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
        if version == Version::V2_1 {
            is_refused(&alice, wss).await?;
        }

        // And nobody else: neither who comes nor who is there.
        drop(guarded.lets_in(&bob, endpoint).await?);
        ensure!(carols.is_heard().await? && carols.hears().await?, "carol is cut off, too");
    }
    ensure!(agent.stop().await?.success());
    Ok(())
}

async fn what_a_denied_device_can_still_do(version: Version) -> anyhow::Result<()> {
    let (mut guarded, mut agent) = Guarded::start_version(version, INTERVAL).await?;
    let [tcp, wss] = guarded.site.endpoints();
    let alice = guarded.site.device()?;
    let before = match version {
        Version::V2_0 => None,
        Version::V2_1 => Some(alice.client.connect(wss).await?.open()?),
    };
    guarded.site.revoke(&alice);
    agent.has(2).await?;
    is_refused(&alice, tcp).await?;
    let mut alices = match before {
        Some(session) => session,
        // What docs/brokers.md says: 2.0.11 checks no CRL on WebSockets.
        None => alice.client.connect(wss).await?.open()?,
    };

    // Nothing comes of the session.
    let mut witness = guarded.site.witness()?.connect(tcp).await?.open()?;
    ensure!(witness.subscribe("devices/#").await?);
    for topic in [alice.topic("up"), "$SYS/broker".into(), "telemetry".into()] {
        alices.subscribe(&topic).await?;
        alices.publish(&topic, "forged").await?;
    }
    ensure!(witness.publish(&alice.topic("up"), "own").await?);
    ensure!(witness.next().await?.as_deref() == Some("own"), "a denied device's message arrived");
    alices.quiet(SOON / 20).await?;
    Ok(())
}

async fn a_hold_that_ends_lets_the_device_in_again(version: Version) -> anyhow::Result<()> {
    let (mut guarded, mut agent) = Guarded::start_version(version, INTERVAL).await?;
    let [tcp, _] = guarded.site.endpoints();
    let alice = guarded.site.device()?;
    guarded.site.revoke(&alice);
    agent.has(2).await?;
    is_refused(&alice, tcp).await?;

    guarded.site.publisher.revoked.clear();
    guarded.site.publisher.denied.clear();
    guarded.site.publisher.publish();
    agent.has(3).await?;
    guarded.lets_in_soon(&alice, tcp).await
}

async fn topics_that_begin_with_a_dollar_are_denied_too(version: Version) -> anyhow::Result<()> {
    let (mut guarded, mut agent) = Guarded::start_version(version, INTERVAL).await?;
    let [tcp, _] = guarded.site.endpoints();
    let (alice, bob) = (guarded.site.device()?, guarded.site.device()?);
    let rules = "pattern readwrite $devices/%u/#\npattern read $devices/+/up";
    add_rules(&guarded, &mut agent, rules).await?;
    let (mut alices, mut bobs) =
        (alice.client.connect(tcp).await?.open()?, bob.client.connect(tcp).await?.open()?);
    let topic = format!("$devices/{}/up", alice.id);
    ensure!(bobs.subscribe(&topic).await?);
    // The broker does what a signal asks for after it was sent.
    let deadline = Instant::now() + SOON;
    loop {
        alices.publish(&topic, "mine").await?;
        if bobs.quiet(SOON / 20).await.is_err() {
            break;
        }
        ensure!(Instant::now() < deadline, "bob never hears of it");
    }
    guarded.site.revoke(&alice);
    agent.has(2).await?;
    let deadline = Instant::now() + SOON;
    loop {
        alices.publish(&topic, "mine").await?;
        if bobs.quiet(SOON / 20).await.is_ok() {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "it still publishes");
    }
}

async fn the_operators_rules_are_read_again(version: Version) -> anyhow::Result<()> {
    let (mut guarded, mut agent) = Guarded::start_version(version, INTERVAL).await?;
    let [tcp, _] = guarded.site.endpoints();
    let (alice, bob) = (guarded.site.device()?, guarded.site.device()?);
    guarded.site.revoke(&alice);
    agent.has(2).await?;

    add_rules(&guarded, &mut agent, "pattern read news/%u").await?;
    let made = fs::read_to_string(guarded.beside.directory.join("acl"))?;
    ensure!(made.contains(&alice.id.to_string()), "{made}");
    drop(guarded.lets_in(&bob, tcp).await?);
    is_refused(&alice, tcp).await?;
    Ok(())
}

/// Adds to the operator's own, and waits until the broker is told.
async fn add_rules(guarded: &Guarded, agent: &mut Agent, rules: &str) -> anyhow::Result<()> {
    let path = guarded.site.operator.path("conf/acl");
    let text = fs::read_to_string(&path)?;
    fs::write(&path, format!("{text}\n{rules}\n"))?;
    let acl = guarded.beside.directory.join("acl");
    let is_made = || fs::read_to_string(&acl).is_ok_and(|made| made.contains(rules));
    agent.until(|status| status["applied"] == true && is_made()).await.map(drop)
}
