//! The agent beside Debian's mosquitto, of this release and the next, over TCP and WebSocket.

use std::fs;
use std::time::Instant;

use anyhow::{bail, ensure};
use birthcert_tests::agent::mosquitto_with_agent::{INTERVAL, MosquittoWithAgent};
use birthcert_tests::agent::observed_session::{SOON, is_refused};
use birthcert_tests::agent::process::Agent;
use birthcert_tests::brokers::mosquitto::Version;
use birthcert_tests::mqtt::session_end::Heard;

use crate::brokers::mosquitto::each_version;

pub(crate) fn tests() -> Vec<crate::suite::StandaloneTest> {
    each_version![
        a_revoked_device_is_out,
        what_a_denied_device_can_still_do,
        topics_that_begin_with_a_dollar_are_denied_too,
        a_hold_that_ends_lets_the_device_in_again,
        the_operators_rules_are_read_again,
    ]
}

async fn a_revoked_device_is_out(version: Version) -> anyhow::Result<()> {
    let (mut mosquitto, mut agent) = MosquittoWithAgent::start_version(version, INTERVAL).await?;
    let [tcp, wss] = mosquitto.host.endpoints();
    // Open throughout: mosquitto 2.0.11 crashes on the first WebSocket after the last one closed,
    // if it received a SIGHUP while one was open.
    let carol = mosquitto.host.device()?;
    let mut carols = mosquitto.lets_in(&carol, wss).await?;
    for endpoint in [tcp, wss] {
        let (alice, bob) = (mosquitto.host.device()?, mosquitto.host.device()?);
        let mut alices = mosquitto.lets_in(&alice, endpoint).await?;

        mosquitto.host.revoke(&alice);
        agent.has(mosquitto.host.publisher.number).await?;
        alices.is_cut_off().await?;
        is_refused(&alice, tcp).await?;
        if version == Version::V2_1 {
            is_refused(&alice, wss).await?;
        }

        // No other device is affected, whether connecting or connected.
        drop(mosquitto.lets_in(&bob, endpoint).await?);
        ensure!(carols.is_heard().await? && carols.hears().await?, "carol is cut off, too");
    }
    ensure!(agent.stop().await?.success());
    Ok(())
}

async fn what_a_denied_device_can_still_do(version: Version) -> anyhow::Result<()> {
    let (mut mosquitto, mut agent) = MosquittoWithAgent::start_version(version, INTERVAL).await?;
    let [tcp, wss] = mosquitto.host.endpoints();
    let alice = mosquitto.host.device()?;
    // A topic that every other client may use.
    add_rules(&mosquitto, &mut agent, "pattern readwrite telemetry").await?;
    let before = match version {
        Version::V2_0 => None,
        Version::V2_1 => Some(alice.client.connect(wss).await?.open()?),
    };
    mosquitto.host.revoke(&alice);
    agent.has(2).await?;
    is_refused(&alice, tcp).await?;
    let mut alices = match before {
        Some(session) => session,
        // As docs/guides/brokers.md says, 2.0.11 does not check CRLs on WebSockets.
        None => alice.client.connect(wss).await?.open()?,
    };

    // The session is useless.
    let mut observer = mosquitto.host.observer()?.connect(tcp).await?.open()?;
    for topic in ["devices/#", "telemetry"] {
        ensure!(observer.subscribe(topic).await?, "{topic}");
    }
    for topic in [alice.topic("up"), "$SYS/broker".into(), "telemetry".into()] {
        alices.subscribe(&topic).await?;
        alices.publish(&topic, "forged").await?;
    }
    for topic in [&alice.topic("up"), "telemetry"] {
        ensure!(observer.publish(topic, "own").await?);
        let next = observer.next().await?;
        ensure!(next.as_deref() == Some("own"), "a denied device's message arrived: {next:?}");
    }
    let heard = alices.hear(SOON / 20).await?;
    ensure!(!matches!(heard, Heard::Message(_)), "{heard:?}");
    Ok(())
}

async fn a_hold_that_ends_lets_the_device_in_again(version: Version) -> anyhow::Result<()> {
    let (mut mosquitto, mut agent) = MosquittoWithAgent::start_version(version, INTERVAL).await?;
    let [tcp, _] = mosquitto.host.endpoints();
    let alice = mosquitto.host.device()?;
    mosquitto.host.revoke(&alice);
    agent.has(2).await?;
    is_refused(&alice, tcp).await?;

    mosquitto.host.publisher.revoked.clear();
    mosquitto.host.publisher.denied.clear();
    mosquitto.host.publisher.publish();
    agent.has(3).await?;
    mosquitto.lets_in_soon(&alice, tcp).await
}

async fn topics_that_begin_with_a_dollar_are_denied_too(version: Version) -> anyhow::Result<()> {
    let (mut mosquitto, mut agent) = MosquittoWithAgent::start_version(version, INTERVAL).await?;
    let [tcp, _] = mosquitto.host.endpoints();
    let (alice, bob) = (mosquitto.host.device()?, mosquitto.host.device()?);
    let rules = "pattern readwrite $devices/%u/#\npattern read $devices/+/up";
    add_rules(&mosquitto, &mut agent, rules).await?;
    let (mut alices, mut bobs) =
        (alice.client.connect(tcp).await?.open()?, bob.client.connect(tcp).await?.open()?);
    let topic = format!("$devices/{}/up", alice.id);
    ensure!(bobs.subscribe(&topic).await?);
    // The broker acts on a signal only after the sender returned.
    let deadline = Instant::now() + SOON;
    loop {
        alices.publish(&topic, "mine").await?;
        if bobs.hear(SOON / 20).await? == Heard::Message("mine".into()) {
            break;
        }
        ensure!(Instant::now() < deadline, "bob never hears of it");
    }
    mosquitto.host.revoke(&alice);
    agent.has(2).await?;
    let deadline = Instant::now() + SOON;
    loop {
        alices.publish(&topic, "mine").await?;
        match bobs.hear(SOON / 20).await? {
            Heard::Message(_) => {}
            Heard::Silence => return Ok(()),
            Heard::Ended(end) => bail!("bob's session ended: {end}"),
        }
        ensure!(Instant::now() < deadline, "it still publishes");
    }
}

async fn the_operators_rules_are_read_again(version: Version) -> anyhow::Result<()> {
    let (mut mosquitto, mut agent) = MosquittoWithAgent::start_version(version, INTERVAL).await?;
    let [tcp, _] = mosquitto.host.endpoints();
    let (alice, bob) = (mosquitto.host.device()?, mosquitto.host.device()?);
    mosquitto.host.revoke(&alice);
    agent.has(2).await?;

    add_rules(&mosquitto, &mut agent, "pattern read news/%u").await?;
    let made = fs::read_to_string(mosquitto.command.directory.join("acl"))?;
    ensure!(made.contains(&alice.id.to_string()), "{made}");
    drop(mosquitto.lets_in(&bob, tcp).await?);
    is_refused(&alice, tcp).await?;
    Ok(())
}

/// Appends rules to the operator's access list, and waits until the broker has them.
async fn add_rules(
    mosquitto: &MosquittoWithAgent,
    agent: &mut Agent,
    rules: &str,
) -> anyhow::Result<()> {
    let path = mosquitto.host.operator.path("conf/acl");
    let text = fs::read_to_string(&path)?;
    fs::write(&path, format!("{text}\n{rules}\n"))?;
    let acl = mosquitto.command.directory.join("acl");
    let is_made = || fs::read_to_string(&acl).is_ok_and(|made| made.contains(rules));
    agent.until(|status| status["applied"] == true && is_made()).await.map(drop)
}
