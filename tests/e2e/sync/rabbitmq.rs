//! The agent beside Debian's RabbitMQ with its MQTT plugins, by TCP and by WebSocket.

use anyhow::{Context as _, ensure};
use birthcert_tests::agent::Agent;
use birthcert_tests::brokers::{Broker, Kind};
use birthcert_tests::mqtt_session::Endpoint;
use birthcert_tests::rabbitmq::Rabbitmq;
use birthcert_tests::site::{Device, SOON, Site, echoes, is_refused};
use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;
use pki::names::DeviceId;

pub(crate) fn tests() -> Vec<crate::Alone> {
    crate::alone![
        a_revoked_device_is_out,
        a_list_that_comes_late_is_told_at_once,
        who_is_no_user_is_in_nobodys_way,
    ]
}

struct Guarded {
    site: Site,
    devices: Vec<Device>,
    broker: Rabbitmq,
}

impl Guarded {
    async fn start() -> anyhow::Result<(Self, Agent)> {
        let site = Site::start().await?;
        site.configure("rabbitmq").await?;
        let devices = (0..4).map(|_| site.device()).collect::<anyhow::Result<Vec<_>>>()?;
        site.write_users("rabbitmq", "users.json", &devices).await?;
        let beside = site.beside("rabbitmq", &Kind::Rabbitmq.prepare(&site.operator)?);
        let mut agent = beside.start()?;
        agent.until(|_| beside.directory.join(Kind::Rabbitmq.first_file()).exists()).await?;
        let Broker::Rabbitmq(broker) = Kind::Rabbitmq.start(&site.operator, site.port).await?
        else {
            anyhow::bail!("another broker");
        };
        agent.has(1).await?;
        Ok((Self { site, devices, broker }, agent))
    }

    fn endpoints(&self) -> [Endpoint; 2] {
        [
            Endpoint::Tcp(self.site.port),
            Endpoint::WebSocket(self.site.websocket_port, Kind::Rabbitmq.websocket_path()),
        ]
    }

    /// Whether the device may open no connection.
    async fn is_limited(&self, device: &Device) -> anyhow::Result<bool> {
        let limits = self.broker.ctl(&["list_user_limits", "--global"]).await?;
        Ok(limits.contains(&device.id.to_string()))
    }
}

async fn a_revoked_device_is_out() -> anyhow::Result<()> {
    let (mut guarded, mut agent) = Guarded::start().await?;
    let endpoints = guarded.endpoints();
    let good = guarded.devices.pop().context("four")?;
    let mut goods = good.client.connect(endpoints[0]).await?.open()?;
    echoes(&good, &mut goods, 1).await?;
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
        echoes(&good, &mut goods, 1).await.context("another's session")?;
    }

    // By a certificate that no CRL lists.
    let denied = guarded.devices.pop().context("four")?;
    guarded.site.publisher.denied.push(denied.id);
    guarded.site.publisher.publish();
    agent.has(guarded.site.publisher.number).await?;
    for endpoint in endpoints {
        is_refused(&denied, endpoint).await?;
    }
    ensure!(guarded.is_limited(&denied).await?, "it is not limited");
    // Until it is no longer denied.
    guarded.site.publisher.denied.retain(|id| *id != denied.id);
    guarded.site.publisher.publish();
    agent.has(guarded.site.publisher.number).await?;
    let mut session = denied.client.connect(endpoints[0]).await?.open()?;
    echoes(&denied, &mut session, 1).await?;
    ensure!(!guarded.is_limited(&denied).await?, "it is still limited");
    ensure!(agent.stop().await?.success());
    Ok(())
}

/// The CRLs, which are all that RabbitMQ reads, are the same before and after.
async fn a_list_that_comes_late_is_told_at_once() -> anyhow::Result<()> {
    let (mut guarded, mut agent) = Guarded::start().await?;
    let [tcp, _] = guarded.endpoints();
    let device = guarded.devices.pop().context("four")?;
    let mut session = device.client.connect(tcp).await?.open()?;
    echoes(&device, &mut session, 1).await?;
    let publisher = &mut guarded.site.publisher;
    publisher.denied.push(device.id);
    publisher.publish_crls();
    agent.until(|status| status["problems"][0]["about"] == "list of denied devices").await?;
    agent.has(2).await?;
    ensure!(!guarded.is_limited(&device).await?, "by what list is it limited?");

    let publisher = &guarded.site.publisher;
    publisher.publication.put(&publisher.list_path(), publisher.list());
    agent.until(|status| status["denied_devices"] == 1 && status["applied"] == true).await?;
    ensure!(guarded.is_limited(&device).await?, "it is not limited");
    ensure!(session.quiet(SOON).await?, "its session goes on");
    Ok(())
}

/// Devices that are revoked before they are imported, or deleted after.
async fn who_is_no_user_is_in_nobodys_way() -> anyhow::Result<()> {
    let (mut guarded, mut agent) = Guarded::start().await?;
    let [tcp, _] = guarded.endpoints();
    let held = guarded.devices.pop().context("four")?;
    guarded.site.publisher.denied.push(held.id);
    guarded.site.publisher.publish();
    agent.has(2).await?;
    ensure!(guarded.is_limited(&held).await?, "it is not limited");

    let device = guarded.devices.pop().context("four")?;
    let mut session = device.client.connect(tcp).await?.open()?;
    echoes(&device, &mut session, 1).await?;
    let strangers = (0..1000).map(|_| DeviceId::generate(&mut UnwrapErr(SysRng)));
    let denied = &mut guarded.site.publisher.denied;
    *denied = strangers.chain([device.id]).collect();
    guarded.site.publisher.publish();
    agent.has(3).await?;
    ensure!(session.quiet(SOON).await?, "its session goes on");
    is_refused(&device, tcp).await?;
    ensure!(!guarded.is_limited(&held).await?, "it is still limited");
    drop(held.client.connect(tcp).await?.open()?);
    Ok(())
}
