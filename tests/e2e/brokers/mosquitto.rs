//! Debian's mosquitto, of this release and of the next, by TCP and by WebSocket.

use anyhow::ensure;
use birthcert_tests::mosquitto::{Mosquitto, Version};
use birthcert_tests::mqtt_session::{Client, Endpoint};

use super::Fleet;

/// Lists tests of the form `async fn name(version: Version)`, with each version.
macro_rules! each_version {
    ($($test:ident),+ $(,)?) => {
        vec![$(
            crate::Alone {
                name: concat!(stringify!($test), "::2.0"),
                run: || Box::pin($test(Version::V2_0)),
            },
            crate::Alone {
                name: concat!(stringify!($test), "::2.1"),
                run: || Box::pin($test(Version::V2_1)),
            },
        )+]
    };
}
pub(crate) use each_version;

pub(crate) fn tests() -> Vec<crate::Alone> {
    each_version![devices_have_their_topics, a_service_is_no_device]
}

async fn devices_have_their_topics(version: Version) -> anyhow::Result<()> {
    let fleet = Fleet::start().await?;
    let folder = fleet.configure("mosquitto").await?;
    let (alice, bob) = (fleet.device().await?, fleet.device().await?);
    let certificates = fleet.operator.path("broker");
    let broker = Mosquitto::start_configured(version, &folder, &certificates, fleet.port).await?;
    fleet.listens_on_loopback_alone().await?;
    for endpoint in [Endpoint::Tcp(fleet.port), Endpoint::WebSocket(fleet.websocket_port, "/mqtt")]
    {
        fleet.topics_are_apart(endpoint, &alice, &bob).await?;
        fleet.strangers_stay_out(endpoint, &alice).await?;

        // The client id is the certificate's, whatever a client claims: nobody throws alice off.
        let mut alices = alice.client.connect(endpoint).await?.open()?;
        let claimed = Client { id: alice.id(), ..bob.client.clone() };
        let mut bobs = claimed.connect(endpoint).await?.open()?;
        ensure!(bobs.publish(&bob.topic("b"), "mine").await?);
        ensure!(alices.subscribe(&alice.topic("#")).await?, "alice was thrown off");
    }
    fleet.takes_a_renewed_certificate(&format!("kill -HUP {}", broker.pid())).await?;
    fleet.stack.stop().await
}

async fn a_service_is_no_device(version: Version) -> anyhow::Result<()> {
    let fleet = Fleet::start().await?;
    let root = fleet.stack.data.join("ca");
    let set_up = format!(
        "ca subordinate --usage service --root {0} --passphrase-file {0}/passphrase --yes",
        super::text(&root)
    );
    fleet.operator.done(&set_up).await?;
    let issue = "broker issue-client --common-name bridge.example.com --directory bridge";
    fleet.operator.done(issue).await?;
    let folder = fleet.configure("mosquitto").await?;
    let alice = fleet.device().await?;
    let certificates = fleet.operator.path("broker");
    let _broker = Mosquitto::start_configured(version, &folder, &certificates, fleet.port).await?;

    let endpoint = Endpoint::Tcp(fleet.port);
    let bridge = |file: &str| fleet.operator.path("bridge").join(file);
    let identity = (bridge("client-chain.pem"), bridge("client-key.pem"));
    let bridge = fleet.client("bridge", Some(identity));
    let mut alices = alice.client.connect(endpoint).await?.open()?;
    ensure!(alices.subscribe(&alice.topic("#")).await?);
    let mut bridges = bridge.connect(endpoint).await?.open()?;
    bridges.publish(&alice.topic("a"), "forged").await?;
    ensure!(alices.publish(&alice.topic("a"), "own").await?);
    ensure!(alices.next().await?.as_deref() == Some("own"), "the bridge wrote alice's topic");
    let own = "devices/bridge.example.com/#";
    ensure!(bridges.subscribe(own).await?);
    ensure!(bridges.publish("devices/bridge.example.com/up", "here").await?);
    ensure!(bridges.next().await?.as_deref() == Some("here"));
    fleet.stack.stop().await
}
