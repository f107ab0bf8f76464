//! The agent beside Debian's nats-server, by TCP and by WebSocket.

use std::fs;

use anyhow::{Context as _, ensure};
use birthcert_tests::agent::{Agent, Beside};
use birthcert_tests::brokers::{Broker, Kind};
use birthcert_tests::site::{Device, SOON, Site, echoes, is_refused};

pub(crate) fn tests() -> Vec<crate::Alone> {
    crate::alone![
        a_revoked_device_is_out,
        a_list_that_cannot_be_read_changes_nothing,
        a_reload_that_is_refused_is_not_taken_for_done,
    ]
}

struct Guarded {
    site: Site,
    beside: Beside,
    devices: Vec<Device>,
    _broker: Broker,
}

impl Guarded {
    async fn start() -> anyhow::Result<(Self, Agent)> {
        let site = Site::start().await?;
        site.configure("nats").await?;
        let devices = (0..4).map(|_| site.device()).collect::<anyhow::Result<Vec<_>>>()?;
        site.write_users("nats", "users.conf", &devices).await?;
        let beside = site.beside("nats", &Kind::Nats.prepare(&site.operator)?);
        let mut agent = beside.start()?;
        agent.until(|_| beside.directory.join(Kind::Nats.first_file()).exists()).await?;
        let broker = Kind::Nats.start(&site.operator, site.port).await?;
        agent.has(1).await?;
        Ok((Self { site, beside, devices, _broker: broker }, agent))
    }
}

async fn a_revoked_device_is_out() -> anyhow::Result<()> {
    let (mut guarded, mut agent) = Guarded::start().await?;
    let endpoints = guarded.site.endpoints();
    let good = guarded.devices.pop().context("four")?;
    let mut goods = good.client.connect(endpoints[0]).await?.open()?;
    echoes(&good, &mut goods, 0).await?;
    for endpoint in endpoints {
        let device = guarded.devices.pop().context("four")?;
        let mut session = device.client.connect(endpoint).await?.open()?;
        echoes(&device, &mut session, 1).await?;
        guarded.site.revoke(&device);
        agent.has(guarded.site.publisher.number).await?;
        ensure!(session.quiet(SOON).await?, "its session goes on");
        for endpoint in endpoints {
            is_refused(&device, endpoint).await?;
        }
        // With QoS 0: nats-server 2.9.10 delivers nothing more to the other subscriptions of sessions
        // that were open at a reload.
        echoes(&good, &mut goods, 0).await.context("another's session")?;
    }
    drop(goods);
    let mut goods = good.client.connect(endpoints[0]).await?.open()?;
    echoes(&good, &mut goods, 1).await?;
    ensure!(agent.stop().await?.success());
    Ok(())
}

async fn a_list_that_cannot_be_read_changes_nothing() -> anyhow::Result<()> {
    let (mut guarded, mut agent) = Guarded::start().await?;
    let [tcp, _] = guarded.site.endpoints();
    let out = guarded.devices.pop().context("four")?;
    let good = guarded.devices.pop().context("four")?;
    guarded.site.revoke(&out);
    agent.has(2).await?;
    let installed = guarded.beside.directory.join("devices.conf");
    let before = fs::read_to_string(&installed)?;
    ensure!(!before.contains(&out.id.to_string()), "{before}");

    let users = guarded.site.operator.path("users.conf");
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

/// As nats-server refuses all of a configuration, if one thing of it cannot change at a reload.
async fn a_reload_that_is_refused_is_not_taken_for_done() -> anyhow::Result<()> {
    let (mut guarded, mut agent) = Guarded::start().await?;
    let [tcp, _] = guarded.site.endpoints();
    let device = guarded.devices.pop().context("four")?;
    let mut session = device.client.connect(tcp).await?.open()?;
    echoes(&device, &mut session, 1).await?;
    let config = guarded.site.operator.path("conf/nats-server.conf");
    let text = fs::read_to_string(&config)?;
    fs::write(&config, text.replace("server_name: \"birthcert\"", "server_name: \"other\""))?;
    guarded.site.revoke(&device);
    let status = agent.until(|status| status["level"] == "failing").await?;
    ensure!(status["problems"][0]["about"] == "nats" && status["applied"] == false, "{status}");
    drop(device.client.connect(tcp).await?.open()?);

    fs::write(&config, text)?;
    agent.has(2).await?;
    is_refused(&device, tcp).await
}
