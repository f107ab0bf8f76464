//! Debian's nats-server with its MQTT listeners, by TCP and by WebSocket.

use anyhow::{Context as _, ensure};
use birthcert_tests::mqtt_session::{Client, Endpoint};
use birthcert_tests::nats::Nats;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpStream;

use super::Fleet;

pub(crate) fn tests() -> Vec<crate::Alone> {
    crate::alone![devices_have_their_topics, devices_of_an_organization_are_users]
}

/// Users are whole subjects here.
async fn devices_of_an_organization_are_users() -> anyhow::Result<()> {
    let fleet = Fleet::start().await?;
    let folder = fleet.configure("nats").await?;
    let mut users = String::new();
    let mut devices = Vec::new();
    for organization in ["Pumps", r#"#1 "Pumps", Söhne + Co; <x> \ y"#] {
        let create = ["project", "create", "--name", "x", "--organization", organization];
        let project = fleet.operator.run_with(&create).await?.done()?;
        let project = project.trim();
        let token = fleet.operator.json(&format!("token create --project {project}")).await?;
        let token = token["enrollment_token"].as_str().context("a token")?;
        devices.push(fleet.device_on(&fleet.stack, token).await?);
        let write = format!("broker users nats --project {project} --file conf/devices.conf");
        fleet.operator.done(&write).await?;
        users = fleet.operator.read("conf/devices.conf")?;
        ensure!(users.matches(&devices[devices.len() - 1].id()).count() >= 2, "{users}");
        let broker = Nats::start(&folder, fleet.port).await?;
        let endpoint = Endpoint::Tcp(fleet.port);
        let device = devices.last().context("a device")?;
        let mut session = device.client.connect(endpoint).await?.open()?;
        ensure!(session.subscribe(&device.topic("#")).await?);
        ensure!(session.publish(&device.topic("a"), "x").await?);
        ensure!(session.next().await?.as_deref() == Some("x"));
        drop(broker);
    }
    ensure!(!users.contains(&devices[0].id()), "another project's: {users}");
    fleet.stack.stop().await
}

async fn devices_have_their_topics() -> anyhow::Result<()> {
    let fleet = Fleet::start().await?;
    let folder = fleet.configure("nats").await?;
    let write_users = "broker users nats --file conf/devices.conf";
    fleet.operator.done(write_users).await?;
    let (alice, bob) = (fleet.device().await?, fleet.device().await?);
    let broker = Nats::start(&folder, fleet.port).await?;

    fleet.listens_on_loopback_alone().await?;

    // Without a user there is nobody to be let in, rather than everybody.
    let endpoints = [Endpoint::Tcp(fleet.port), Endpoint::WebSocket(fleet.websocket_port, "/mqtt")];
    for endpoint in endpoints {
        let early = alice.client.connect(endpoint).await?;
        ensure!(early.is_refused(), "a device that is no user: {early:?}");
    }
    fleet.operator.done(write_users).await?;
    broker.reload().await?;
    let carol = fleet.device().await?;

    for endpoint in endpoints {
        fleet.topics_are_apart(endpoint, &alice, &bob).await?;
        fleet.strangers_stay_out(endpoint, &alice).await?;
        let late = carol.client.connect(endpoint).await?;
        ensure!(late.is_refused(), "a device that is no user: {late:?}");

        // A session that outlives its connection: what alice subscribed to is not given to bob.
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

        // What docs/brokers.md warns of: client ids are not bound to certificates.
        let mut alices = alice.client.connect(endpoint).await?.open()?;
        let claimed = Client { id: alice.id(), ..bob.client.clone() };
        let _bobs = claimed.connect(endpoint).await?.open()?;
        ensure!(alices.next().await?.is_none(), "alice was sent something");
    }
    fleet.takes_a_renewed_certificate(&format!("kill -HUP {}", broker.pid())).await?;

    // A device that is taken out is out, of the session that is open, too.
    let mut bobs = bob.client.connect(endpoints[0]).await?.open()?;
    ensure!(bobs.publish(&bob.topic("b"), "x").await?);
    fleet.operator.done(&format!("{write_users} --device {}", alice.id())).await?;
    broker.reload().await?;
    ensure!(bobs.next().await?.is_none(), "bob's session goes on");
    ensure!(bob.client.connect(endpoints[0]).await?.is_refused());
    drop(alice.client.connect(endpoints[0]).await?.open()?);

    // By NATS's own protocol nobody logs in as a device, which has no password.
    let stream = TcpStream::connect(("127.0.0.1", broker.port)).await?;
    let mut greeting = String::new();
    BufReader::new(stream).read_line(&mut greeting).await?;
    let greeting = greeting.strip_prefix("INFO ").context("a greeting")?;
    let greeting: serde_json::Value = serde_json::from_str(greeting)?;
    ensure!(greeting["tls_required"] == true && greeting["tls_verify"] == true, "{greeting}");
    fleet.stack.stop().await
}
