//! The agent beside Debian's nats-server, over TCP and WebSocket.

use std::fs;

use anyhow::{Context as _, ensure};
use birthcert_tests::agent::broker_host::{BrokerHost, Device};
use birthcert_tests::agent::observed_session::{SOON, echoes, is_refused};
use birthcert_tests::agent::process::{Agent, AgentCommand};
use birthcert_tests::brokers::kind::{Broker, BrokerKind};

pub(crate) fn tests() -> Vec<crate::suite::StandaloneTest> {
    crate::suite::standalone![
        a_revoked_device_is_out,
        an_unreadable_deny_list_changes_nothing,
        a_refused_reload_does_not_count_as_done,
    ]
}

struct NatsWithAgent {
    host: BrokerHost,
    command: AgentCommand,
    devices: Vec<Device>,
    _broker: Broker,
}

impl NatsWithAgent {
    async fn start() -> anyhow::Result<(Self, Agent)> {
        let host = BrokerHost::start().await?;
        host.configure("nats").await?;
        let devices = (0..4).map(|_| host.device()).collect::<anyhow::Result<Vec<_>>>()?;
        host.write_users("nats", "users.conf", &devices).await?;
        let command = host.agent_command("nats", &BrokerKind::Nats.prepare(&host.operator)?);
        let mut agent = command.start()?;
        agent.until(|_| command.directory.join(BrokerKind::Nats.first_file()).exists()).await?;
        let broker = BrokerKind::Nats.start(&host.operator, host.port).await?;
        agent.has(1).await?;
        Ok((Self { host, command, devices, _broker: broker }, agent))
    }
}

async fn a_revoked_device_is_out() -> anyhow::Result<()> {
    let (mut nats, mut agent) = NatsWithAgent::start().await?;
    let endpoints = nats.host.endpoints();
    let good = nats.devices.pop().context("four")?;
    let mut goods = good.client.connect(endpoints[0]).await?.open()?;
    echoes(&good, &mut goods, 0).await?;
    for endpoint in endpoints {
        let device = nats.devices.pop().context("four")?;
        let mut session = device.client.connect(endpoint).await?.open()?;
        echoes(&device, &mut session, 1).await?;
        nats.host.revoke(&device);
        agent.has(nats.host.publisher.number).await?;
        session.is_ended(SOON).await?;
        for endpoint in endpoints {
            is_refused(&device, endpoint).await?;
        }
        // With QoS 0: after a reload, nats-server 2.9.10 delivers nothing more to the other
        // subscriptions of open sessions.
        echoes(&good, &mut goods, 0).await.context("another's session")?;
    }
    drop(goods);
    let mut goods = good.client.connect(endpoints[0]).await?.open()?;
    echoes(&good, &mut goods, 1).await?;
    ensure!(agent.stop().await?.success());
    Ok(())
}

async fn an_unreadable_deny_list_changes_nothing() -> anyhow::Result<()> {
    let (mut nats, mut agent) = NatsWithAgent::start().await?;
    let [tcp, _] = nats.host.endpoints();
    let out = nats.devices.pop().context("four")?;
    let good = nats.devices.pop().context("four")?;
    nats.host.revoke(&out);
    agent.has(2).await?;
    let installed = nats.command.directory.join("devices.conf");
    let before = fs::read_to_string(&installed)?;
    ensure!(!before.contains(&out.id.to_string()), "{before}");

    let users = nats.host.operator.path("users.conf");
    let text = fs::read_to_string(&users)?;
    for wrong in [&text[..text.len() / 2], "", "users = []\n"] {
        fs::write(&users, wrong)?;
        let status = agent.until(|status| status["level"] == "failing").await?;
        ensure!(status["problems"][0]["about"] == "nats", "{status}");
        ensure!(fs::read_to_string(&installed)? == before, "{wrong}");
        let mut session = good.client.connect(tcp).await?.open()?;
        echoes(&good, &mut session, 1).await?;
        is_refused(&out, tcp).await?;
        fs::write(&users, &text)?;
        agent.until(|status| status["level"] == "ok").await?;
    }
    Ok(())
}

/// nats-server refuses a whole configuration if one setting in it cannot change on reload.
async fn a_refused_reload_does_not_count_as_done() -> anyhow::Result<()> {
    let (mut nats, mut agent) = NatsWithAgent::start().await?;
    let [tcp, _] = nats.host.endpoints();
    let device = nats.devices.pop().context("four")?;
    let mut session = device.client.connect(tcp).await?.open()?;
    echoes(&device, &mut session, 1).await?;
    let config = nats.host.operator.path("conf/nats-server.conf");
    let text = fs::read_to_string(&config)?;
    fs::write(&config, text.replace("server_name: \"birthcert\"", "server_name: \"other\""))?;
    nats.host.revoke(&device);
    let status = agent.until(|status| status["level"] == "failing").await?;
    ensure!(status["problems"][0]["about"] == "nats" && status["applied"] == false, "{status}");
    drop(device.client.connect(tcp).await?.open()?);

    fs::write(&config, text)?;
    agent.has(2).await?;
    is_refused(&device, tcp).await
}
