//! Debian's RabbitMQ with its MQTT plugins, over TCP and WebSocket.

use anyhow::ensure;
use birthcert_tests::brokers::rabbitmq::Rabbitmq;
use birthcert_tests::mqtt::session::{Client, Endpoint};

use super::setup::BrokerSetup;

pub(crate) fn tests() -> Vec<crate::suite::StandaloneTest> {
    crate::suite::standalone![devices_have_their_topics]
}

async fn devices_have_their_topics() -> anyhow::Result<()> {
    let setup = BrokerSetup::start().await?;
    let folder = setup.configure("rabbitmq").await?;
    let (alice, bob) = (setup.device().await?, setup.device().await?);
    let broker = Rabbitmq::start(&folder, setup.port).await?;
    let endpoint = Endpoint::Tcp(setup.port);
    setup.listens_on_loopback_alone().await?;

    let early = alice.client.connect(endpoint).await?;
    ensure!(early.is_refused(), "a device that is no user: {early:?}");
    setup.operator.done("broker users rabbitmq --file conf/devices.json").await?;
    broker.import(&folder.join("devices.json")).await?;
    let carol = setup.device().await?;

    for endpoint in [endpoint, Endpoint::WebSocket(setup.websocket_port, "/ws")] {
        setup.topics_are_apart(endpoint, &alice, &bob).await?;
        setup.strangers_stay_out(endpoint, &alice).await?;
        let late = carol.client.connect(endpoint).await?;
        ensure!(late.is_refused(), "a device that is no user: {late:?}");

        // A session that outlives its connection belongs to a client id: alice's stays alice's.
        let keeping = Client { clean_session: false, ..alice.client.clone() };
        let mut alices = keeping.connect(endpoint).await?.open()?;
        ensure!(alices.subscribe(&alice.topic("#")).await?);
        drop(alices);
        let claimed = Client { id: alice.id(), clean_session: false, ..bob.client.clone() };
        if let Ok(mut bobs) = claimed.connect(endpoint).await?.open() {
            let granted = bobs.subscribe(&bob.topic("#")).await?;
            ensure!(!granted, "bob was given alice's session: {}", broker.log());
        }

        // As docs/guides/brokers.md warns, client ids are not bound to certificates.
        let mut alices = alice.client.connect(endpoint).await?.open()?;
        let claimed = Client { id: alice.id(), ..bob.client.clone() };
        let _bobs = claimed.connect(endpoint).await?.open()?;
        ensure!(alices.next().await?.is_none(), "alice was sent something");
    }
    setup.takes_a_renewed_certificate(&broker.shell("eval 'ssl:clear_pem_cache().'")).await?;
    let users = broker.ctl(&["list_users", "--silent"]).await?;
    ensure!(users.contains(&alice.id()) && !users.contains(&carol.id()), "{users}");
    setup.stack.stop().await
}
