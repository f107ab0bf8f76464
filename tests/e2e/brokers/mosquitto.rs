//! Debian's mosquitto, of this release and the next, over TCP and WebSocket.

use anyhow::ensure;
use birthcert_tests::brokers::mosquitto::{Mosquitto, Version};
use birthcert_tests::mqtt::session::{Client, Endpoint};

use super::setup::BrokerSetup;

/// Lists tests of the form `async fn name(version: Version)`, once for each version.
macro_rules! each_version {
    ($($test:ident),+ $(,)?) => {
        vec![$(
            crate::suite::StandaloneTest {
                name: concat!(stringify!($test), "::2.0"),
                run: || Box::pin($test(Version::V2_0)),
            },
            crate::suite::StandaloneTest {
                name: concat!(stringify!($test), "::2.1"),
                run: || Box::pin($test(Version::V2_1)),
            },
        )+]
    };
}
pub(crate) use each_version;

pub(crate) fn tests() -> Vec<crate::suite::StandaloneTest> {
    each_version![devices_have_their_topics, a_service_is_not_a_device]
}

async fn devices_have_their_topics(version: Version) -> anyhow::Result<()> {
    let setup = BrokerSetup::start().await?;
    let folder = setup.configure("mosquitto").await?;
    let (alice, bob) = (setup.device().await?, setup.device().await?);
    let certificates = setup.operator.path("broker");
    let broker = Mosquitto::start_configured(version, &folder, &certificates, setup.port).await?;
    setup.listens_on_loopback_alone().await?;
    for endpoint in [Endpoint::Tcp(setup.port), Endpoint::WebSocket(setup.websocket_port, "/mqtt")]
    {
        setup.topics_are_apart(endpoint, &alice, &bob).await?;
        setup.strangers_stay_out(endpoint, &alice).await?;

        // The client id comes from the certificate, whatever a client claims: nobody can take over
        // alice's session.
        let mut alices = alice.client.connect(endpoint).await?.open()?;
        let claimed = Client { id: alice.id(), ..bob.client.clone() };
        let mut bobs = claimed.connect(endpoint).await?.open()?;
        ensure!(bobs.publish(&bob.topic("b"), "mine").await?);
        ensure!(alices.subscribe(&alice.topic("#")).await?, "alice was thrown off");
    }
    setup.takes_a_renewed_certificate(&format!("kill -HUP {}", broker.pid())).await?;
    setup.stack.stop().await
}

async fn a_service_is_not_a_device(version: Version) -> anyhow::Result<()> {
    let setup = BrokerSetup::start().await?;
    let root = setup.stack.data.join("ca");
    let set_up = format!(
        "ca subordinate --usage service --root {0} --passphrase-file {0}/passphrase --yes",
        super::setup::text(&root)
    );
    setup.operator.done(&set_up).await?;
    let issue = "broker issue-client --common-name bridge.example.com --directory bridge";
    setup.operator.done(issue).await?;
    let folder = setup.configure("mosquitto").await?;
    let alice = setup.device().await?;
    let certificates = setup.operator.path("broker");
    let _broker = Mosquitto::start_configured(version, &folder, &certificates, setup.port).await?;

    let endpoint = Endpoint::Tcp(setup.port);
    let bridge = |file: &str| setup.operator.path("bridge").join(file);
    let identity = (bridge("client-chain.pem"), bridge("client-key.pem"));
    let bridge = setup.client("bridge", Some(identity));
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
    setup.stack.stop().await
}
