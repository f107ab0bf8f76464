//! Debian's nats-server with its MQTT listeners, over TCP and WebSocket.

use anyhow::{Context as _, ensure};
use birthcert_tests::brokers::nats::Nats;
use birthcert_tests::mqtt::session::{Client, Endpoint};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpStream;

use super::setup::BrokerSetup;

pub(crate) fn tests() -> Vec<crate::suite::StandaloneTest> {
    crate::suite::standalone![devices_have_their_topics, devices_of_an_organization_are_users]
}

/// Users are whole certificate subjects in NATS.
async fn devices_of_an_organization_are_users() -> anyhow::Result<()> {
    let setup = BrokerSetup::start().await?;
    let folder = setup.configure("nats").await?;
    let mut users = String::new();
    let mut devices = Vec::new();
    for organization in ["Pumps", r#"#1 "Pumps", Söhne + Co; <x> \ y"#] {
        let create = ["project", "create", "--name", "x", "--organization", organization];
        let project = setup.operator.run_with(&create).await?.done()?;
        let project = project.trim();
        let token = setup.operator.json(&format!("token create --project {project}")).await?;
        let token = token["enrollment_token"].as_str().context("a token")?;
        devices.push(setup.device_on(&setup.stack, token).await?);
        let write = format!("broker users nats --project {project} --file conf/devices.conf");
        setup.operator.done(&write).await?;
        users = setup.operator.read("conf/devices.conf")?;
        ensure!(users.matches(&devices[devices.len() - 1].id()).count() >= 2, "{users}");
        let broker = Nats::start(&folder, setup.port).await?;
        let endpoint = Endpoint::Tcp(setup.port);
        let device = devices.last().context("a device")?;
        let mut session = device.client.connect(endpoint).await?.open()?;
        ensure!(session.subscribe(&device.topic("#")).await?);
        ensure!(session.publish(&device.topic("a"), "x").await?);
        ensure!(session.next().await?.as_deref() == Some("x"));
        drop(broker);
    }
    ensure!(!users.contains(&devices[0].id()), "another project's: {users}");
    setup.stack.stop().await
}

async fn devices_have_their_topics() -> anyhow::Result<()> {
    let setup = BrokerSetup::start().await?;
    let folder = setup.configure("nats").await?;
    let write_users = "broker users nats --file conf/devices.conf";
    setup.operator.done(write_users).await?;
    let (alice, bob) = (setup.device().await?, setup.device().await?);
    let broker = Nats::start(&folder, setup.port).await?;

    setup.listens_on_loopback_alone().await?;

    // Without users nobody is let in, rather than everybody.
    let endpoints = [Endpoint::Tcp(setup.port), Endpoint::WebSocket(setup.websocket_port, "/mqtt")];
    for endpoint in endpoints {
        let early = alice.client.connect(endpoint).await?;
        ensure!(early.is_refused(), "a device that is no user: {early:?}");
    }
    setup.operator.done(write_users).await?;
    broker.reload().await?;
    let carol = setup.device().await?;

    for endpoint in endpoints {
        setup.topics_are_apart(endpoint, &alice, &bob).await?;
        setup.strangers_stay_out(endpoint, &alice).await?;
        let late = carol.client.connect(endpoint).await?;
        ensure!(late.is_refused(), "a device that is no user: {late:?}");

        // With a session that outlives its connection, alice's subscriptions are not given to bob.
        let keeping = Client { clean_session: false, ..alice.client.clone() };
        let mut alices = keeping.connect(endpoint).await?.open()?;
        ensure!(alices.subscribe(&alice.topic("#")).await?);
        ensure!(alices.publish(&alice.topic("a"), "kept").await?);
        drop(alices);
        let claimed = Client { id: alice.id(), clean_session: false, ..bob.client.clone() };
        if let Ok(mut bobs) = claimed.connect(endpoint).await?.open()
            && bobs.subscribe(&bob.topic("#")).await?
        {
            for own in ["mine", "mine too"] {
                bobs.publish(&bob.topic("b"), own).await?;
                let next = bobs.next().await?;
                ensure!(next.as_deref() == Some(own), "bob was given alice's session: {next:?}");
            }
        }

        // As docs/guides/brokers.md warns, client ids are not bound to certificates.
        let mut alices = alice.client.connect(endpoint).await?.open()?;
        let claimed = Client { id: alice.id(), ..bob.client.clone() };
        let _bobs = claimed.connect(endpoint).await?.open()?;
        ensure!(alices.next().await?.is_none(), "alice was sent something");
    }
    setup.takes_a_renewed_certificate(&format!("kill -HUP {}", broker.pid())).await?;

    // A device removed from the users is out, including its open session.
    let mut bobs = bob.client.connect(endpoints[0]).await?.open()?;
    ensure!(bobs.publish(&bob.topic("b"), "x").await?);
    setup.operator.done(&format!("{write_users} --device {}", alice.id())).await?;
    broker.reload().await?;
    ensure!(bobs.next().await?.is_none(), "bob's session goes on");
    ensure!(bob.client.connect(endpoints[0]).await?.is_refused());
    drop(alice.client.connect(endpoints[0]).await?.open()?);

    // Over NATS's own protocol no device can log in, since devices have no passwords.
    let stream = TcpStream::connect(("127.0.0.1", broker.port)).await?;
    let mut greeting = String::new();
    BufReader::new(stream).read_line(&mut greeting).await?;
    let greeting = greeting.strip_prefix("INFO ").context("a greeting")?;
    let greeting: serde_json::Value = serde_json::from_str(greeting)?;
    ensure!(greeting["tls_required"] == true && greeting["tls_verify"] == true, "{greeting}");
    setup.stack.stop().await
}
