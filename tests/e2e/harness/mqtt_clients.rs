//! The MQTT clients against servers that end a session in every way, or not at all.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use birthcert_tests::agent::observed_session;
use birthcert_tests::mqtt::raw_session::TlsIdentity;
use birthcert_tests::mqtt::session::{Client, Connected, Endpoint};
use birthcert_tests::mqtt::session_end::{Heard, SessionEnd};
use birthcert_tests::process::{free_port, tool};

use super::fake_broker::{Behavior, FakeBroker};

pub(crate) fn tests() -> Vec<crate::suite::StandaloneTest> {
    crate::suite::standalone![
        a_broker_refuses_by_an_alert_a_connack_or_the_end_of_the_connection,
        a_timeout_or_an_untrusted_broker_is_not_a_refusal,
        a_message_silence_and_the_end_of_a_session_are_told_apart,
        a_dead_client_is_a_failure,
    ]
}

const CONNACK: &[u8] = &[0x20, 2, 0, 0];
/// CONNACK with return code 5: MQTT 3.1.1, section 3.2.2.3.
const NOT_AUTHORIZED: &[u8] = &[0x20, 2, 0, 5];
/// CONNACK, and "hello" on the topic "t" with QoS 0.
const HELLO: &[u8] = b"\x20\x02\x00\x00\x30\x08\x00\x01thello";
const BAD_REQUEST: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";
/// Longer than a fake broker needs for its answer, on a machine that compiles at the same time.
const WAIT: Duration = Duration::from_secs(2);

/// Returns how each of the two clients was refused.
async fn refusals(client: &Client, endpoint: Endpoint) -> [anyhow::Result<SessionEnd>; 2] {
    let by_paho = async {
        match client.connect(endpoint).await? {
            Connected::Refused(end) => Ok(end),
            Connected::Open(_) => bail!("it is let in"),
        }
    };
    let by_rustls = async {
        match TlsIdentity::of(client)?.connect(endpoint).await? {
            Err(end) => Ok(end),
            Ok(_) => bail!("it is let in"),
        }
    };
    let (by_paho, by_rustls) = tokio::join!(by_paho, by_rustls);
    [by_paho, by_rustls]
}

async fn a_broker_refuses_by_an_alert_a_connack_or_the_end_of_the_connection() -> anyhow::Result<()>
{
    type Check = fn(&SessionEnd) -> bool;
    let is_alert: Check = |end| matches!(end, SessionEnd::Alert(_));
    let is_connack: Check = |end| matches!(end, SessionEnd::Connack(_));
    let is_closed: Check = |end| *end == SessionEnd::Closed;
    let cases = [
        (Behavior::Alerts, is_alert),
        (Behavior::Closes(b""), is_closed),
        (Behavior::Resets, is_closed),
    ];
    for (behavior, check) in cases {
        let broker = FakeBroker::start(behavior).await?;
        for endpoint in [Endpoint::Tcp(broker.port), Endpoint::WebSocket(broker.port, "/mqtt")] {
            for end in refusals(&broker.client, endpoint).await {
                let end = end.with_context(|| format!("{behavior:?} on {endpoint:?}"))?;
                ensure!(check(&end), "{behavior:?} on {endpoint:?}: {end:?}");
            }
        }
    }
    let broker = FakeBroker::start(Behavior::Answers(NOT_AUTHORIZED)).await?;
    for end in refusals(&broker.client, Endpoint::Tcp(broker.port)).await {
        let end = end?;
        ensure!(is_connack(&end), "{end:?}");
    }
    Ok(())
}

async fn a_timeout_or_an_untrusted_broker_is_not_a_refusal() -> anyhow::Result<()> {
    let silent = FakeBroker::start(Behavior::Silent).await?;
    let mute = FakeBroker::start(Behavior::Answers(b"")).await?;
    let untrusted = FakeBroker::start(Behavior::Answers(CONNACK)).await?;
    let not_found = FakeBroker::start(Behavior::Answers(BAD_REQUEST)).await?;
    let websocket = |port| Endpoint::WebSocket(port, "/mqtt");
    let cases = [
        ("silent", &silent.client, Endpoint::Tcp(silent.port)),
        ("silent", &silent.client, websocket(silent.port)),
        ("mute", &mute.client, Endpoint::Tcp(mute.port)),
        ("mute", &mute.client, websocket(mute.port)),
        ("untrusted", &untrusted.stranger, Endpoint::Tcp(untrusted.port)),
        ("untrusted", &untrusted.stranger, websocket(untrusted.port)),
        ("another server", &not_found.client, websocket(not_found.port)),
        ("nothing", &mute.client, Endpoint::Tcp(free_port()?)),
    ];
    let attempts = cases.map(|(name, client, endpoint)| async move {
        (name, endpoint, refusals(client, endpoint).await)
    });
    for (name, endpoint, results) in futures_util::future::join_all(attempts).await {
        for result in results {
            let Err(error) = result else { bail!("{name} on {endpoint:?}: {result:?}") };
            let error = format!("{error:#}");
            ensure!(!error.contains("let in"), "{name} on {endpoint:?}: {error}");
        }
    }
    // The helper that waits for a refusal fails, too, and does not wait longer.
    let waiting = observed_session::is_refused_to(&silent.client, Endpoint::Tcp(silent.port));
    ensure!(waiting.await.is_err(), "silence is taken for a refusal");
    Ok(())
}

async fn a_message_silence_and_the_end_of_a_session_are_told_apart() -> anyhow::Result<()> {
    let cases = [
        (Behavior::Answers(HELLO), Heard::Message("hello".into())),
        (Behavior::Answers(CONNACK), Heard::Silence),
        (Behavior::Closes(CONNACK), Heard::Ended(SessionEnd::Closed)),
    ];
    for (behavior, expected) in cases {
        let broker = FakeBroker::start(behavior).await?;
        let endpoint = Endpoint::Tcp(broker.port);
        let mut session = broker.client.connect(endpoint).await?.open()?;
        let heard = session.hear(WAIT).await?;
        ensure!(heard == expected, "{behavior:?}: {heard:?}");
        let ends = matches!(expected, Heard::Ended(_));
        ensure!(session.is_ended(WAIT).await.is_ok() == ends, "{behavior:?}");
        if ends {
            ensure!(!session.publish("t", "hello").await?, "{behavior:?}: acknowledged");
        }

        let mut session = TlsIdentity::of(&broker.client)?.connect(endpoint).await??;
        let heard = session.echo("t", "hello", WAIT).await?;
        ensure!(heard == expected, "{behavior:?}, by rustls: {heard:?}");
    }
    // A message that is not the own one.
    let broker = FakeBroker::start(Behavior::Answers(HELLO)).await?;
    let session = TlsIdentity::of(&broker.client)?.connect(Endpoint::Tcp(broker.port)).await?;
    let error = session?.echo("t", "other", WAIT).await.err().context("another message")?;
    ensure!(error.to_string().contains("another message"), "{error:#}");
    Ok(())
}

async fn a_dead_client_is_a_failure() -> anyhow::Result<()> {
    let broker = FakeBroker::start(Behavior::Answers(CONNACK)).await?;
    let endpoint = Endpoint::Tcp(broker.port);
    let mut session = broker.client.connect(endpoint).await?.open()?;
    let pid = session.pid().context("it runs")?.to_string();
    tool::run("kill", ["-KILL", &pid]).await?;
    ensure!(session.hear(WAIT).await.is_err(), "a dead client heard something");
    ensure!(session.publish("t", "x").await.is_err(), "a dead client published");
    ensure!(session.is_ended(WAIT).await.is_err(), "the broker ended a dead client's session");

    // One whose key does not fit its certificate never starts.
    let (chain, _) = broker.client.identity.clone().context("it has one")?;
    let wrong = Client { identity: Some((chain.clone(), chain)), ..broker.client.clone() };
    let error = wrong.connect(endpoint).await.err().context("it connected")?;
    ensure!(error.to_string().contains("the client failed"), "{error:#}");
    Ok(())
}
