//! The agent beside Debian's RabbitMQ with its MQTT plugins, over TCP and WebSocket.

use anyhow::{Context as _, ensure};
use birthcert_tests::agent::broker_host::{BrokerHost, Device};
use birthcert_tests::agent::observed_session::{SOON, echoes, is_refused};
use birthcert_tests::agent::process::Agent;
use birthcert_tests::brokers::kind::{Broker, BrokerKind};
use birthcert_tests::brokers::rabbitmq::Rabbitmq;
use birthcert_tests::mqtt::session::Endpoint;
use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;
use pki::names::DeviceId;

pub(crate) fn tests() -> Vec<crate::suite::StandaloneTest> {
    crate::suite::standalone![
        a_revoked_device_is_out,
        a_late_deny_list_is_applied_at_once,
        devices_that_are_not_users_are_skipped,
    ]
}

struct RabbitmqWithAgent {
    host: BrokerHost,
    devices: Vec<Device>,
    broker: Rabbitmq,
}

impl RabbitmqWithAgent {
    async fn start() -> anyhow::Result<(Self, Agent)> {
        let host = BrokerHost::start().await?;
        host.configure("rabbitmq").await?;
        let devices = (0..4).map(|_| host.device()).collect::<anyhow::Result<Vec<_>>>()?;
        host.write_users("rabbitmq", "users.json", &devices).await?;
        let command =
            host.agent_command("rabbitmq", &BrokerKind::Rabbitmq.prepare(&host.operator)?);
        let mut agent = command.start()?;
        agent.until(|_| command.directory.join(BrokerKind::Rabbitmq.first_file()).exists()).await?;
        let Broker::Rabbitmq(broker) =
            BrokerKind::Rabbitmq.start(&host.operator, host.port).await?
        else {
            anyhow::bail!("another broker");
        };
        agent.has(1).await?;
        Ok((Self { host, devices, broker }, agent))
    }

    fn endpoints(&self) -> [Endpoint; 2] {
        [
            Endpoint::Tcp(self.host.port),
            Endpoint::WebSocket(self.host.websocket_port, BrokerKind::Rabbitmq.websocket_path()),
        ]
    }

    /// Returns true if the device may not open connections.
    async fn is_limited(&self, device: &Device) -> anyhow::Result<bool> {
        let limits = self.broker.ctl(&["list_user_limits", "--global"]).await?;
        Ok(limits.contains(&device.id.to_string()))
    }
}

async fn a_revoked_device_is_out() -> anyhow::Result<()> {
    let (mut rabbitmq, mut agent) = RabbitmqWithAgent::start().await?;
    let endpoints = rabbitmq.endpoints();
    let good = rabbitmq.devices.pop().context("four")?;
    let mut goods = good.client.connect(endpoints[0]).await?.open()?;
    echoes(&good, &mut goods, 1).await?;
    for endpoint in endpoints {
        let device = rabbitmq.devices.pop().context("four")?;
        let mut session = device.client.connect(endpoint).await?.open()?;
        echoes(&device, &mut session, 1).await?;
        rabbitmq.host.revoke(&device);
        agent.has(rabbitmq.host.publisher.number).await?;
        session.is_ended(SOON).await?;
        for endpoint in endpoints {
            is_refused(&device, endpoint).await?;
        }
        echoes(&good, &mut goods, 1).await.context("another's session")?;
    }

    // Its certificate is not on any CRL.
    let denied = rabbitmq.devices.pop().context("four")?;
    rabbitmq.host.publisher.denied.push(denied.id);
    rabbitmq.host.publisher.publish();
    agent.has(rabbitmq.host.publisher.number).await?;
    for endpoint in endpoints {
        is_refused(&denied, endpoint).await?;
    }
    ensure!(rabbitmq.is_limited(&denied).await?, "it is not limited");
    // Until the device is no longer denied.
    rabbitmq.host.publisher.denied.retain(|id| *id != denied.id);
    rabbitmq.host.publisher.publish();
    agent.has(rabbitmq.host.publisher.number).await?;
    let mut session = denied.client.connect(endpoints[0]).await?.open()?;
    echoes(&denied, &mut session, 1).await?;
    ensure!(!rabbitmq.is_limited(&denied).await?, "it is still limited");
    ensure!(agent.stop().await?.success());
    Ok(())
}

/// RabbitMQ reads only the CRLs, and these are the same before and after.
async fn a_late_deny_list_is_applied_at_once() -> anyhow::Result<()> {
    let (mut rabbitmq, mut agent) = RabbitmqWithAgent::start().await?;
    let [tcp, _] = rabbitmq.endpoints();
    let device = rabbitmq.devices.pop().context("four")?;
    let mut session = device.client.connect(tcp).await?.open()?;
    echoes(&device, &mut session, 1).await?;
    let publisher = &mut rabbitmq.host.publisher;
    publisher.denied.push(device.id);
    publisher.publish_crls();
    agent.until(|status| status["problems"][0]["about"] == "list of denied devices").await?;
    agent.has(2).await?;
    ensure!(!rabbitmq.is_limited(&device).await?, "by what list is it limited?");

    let publisher = &rabbitmq.host.publisher;
    publisher.publication.put(&publisher.deny_list_path(), publisher.deny_list());
    agent.until(|status| status["denied_devices"] == 1 && status["applied"] == true).await?;
    ensure!(rabbitmq.is_limited(&device).await?, "it is not limited");
    session.is_ended(SOON).await?;
    Ok(())
}

/// Devices revoked before they are imported, or deleted afterwards.
async fn devices_that_are_not_users_are_skipped() -> anyhow::Result<()> {
    let (mut rabbitmq, mut agent) = RabbitmqWithAgent::start().await?;
    let [tcp, _] = rabbitmq.endpoints();
    let held = rabbitmq.devices.pop().context("four")?;
    rabbitmq.host.publisher.denied.push(held.id);
    rabbitmq.host.publisher.publish();
    agent.has(2).await?;
    ensure!(rabbitmq.is_limited(&held).await?, "it is not limited");

    let device = rabbitmq.devices.pop().context("four")?;
    let mut session = device.client.connect(tcp).await?.open()?;
    echoes(&device, &mut session, 1).await?;
    let strangers = (0..1000).map(|_| DeviceId::generate(&mut UnwrapErr(SysRng)));
    let denied = &mut rabbitmq.host.publisher.denied;
    *denied = strangers.chain([device.id]).collect();
    rabbitmq.host.publisher.publish();
    agent.has(3).await?;
    session.is_ended(SOON).await?;
    is_refused(&device, tcp).await?;
    ensure!(!rabbitmq.is_limited(&held).await?, "it is still limited");
    drop(held.client.connect(tcp).await?.open()?);
    Ok(())
}
