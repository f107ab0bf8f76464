//! A stack on this machine with devices, and a broker with the configuration that `birthcert broker
//! config` writes.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::ensure;
use birthcert_tests::api::Enrolled;
use birthcert_tests::mqtt::session::{ANSWER_LIMIT, Client, Endpoint};
use birthcert_tests::operator::Operator;
use birthcert_tests::process::{free_port, is_closed, tool};
use birthcert_tests::stack::Stack;
use tempfile::TempDir;
use tokio::time::sleep;

/// A stack, its operator with a broker certificate in `broker`, and the ports for that broker.
pub(crate) struct BrokerSetup {
    pub(crate) stack: Stack,
    pub(crate) operator: Operator,
    pub(crate) port: u16,
    pub(crate) websocket_port: u16,
    scratch: TempDir,
}

/// Far more than a broker needs to read two files.
const RELOAD: Duration = Duration::from_secs(60);

/// A device and its MQTT client.
pub(crate) struct Device {
    pub(crate) enrolled: Enrolled,
    pub(crate) client: Client,
}

impl Device {
    pub(crate) fn id(&self) -> String {
        self.enrolled.device_id.to_string()
    }

    pub(crate) fn topic(&self, name: &str) -> String {
        format!("devices/{}/{name}", self.id())
    }
}

impl BrokerSetup {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let scratch = TempDir::new()?;
        let stack = Stack::start(&scratch.path().join("stack")).await?;
        let operator = Operator::of(&stack)?;
        operator.done("broker issue --dns localhost --ip 127.0.0.1 --directory broker").await?;
        let (port, websocket_port) = (free_port()?, free_port()?);
        Ok(Self { stack, operator, port, websocket_port, scratch })
    }

    /// Writes the configuration of `broker` into `conf`, for this setup's ports on 127.0.0.1.
    pub(crate) async fn configure(&self, broker: &str) -> anyhow::Result<PathBuf> {
        let Self { port, websocket_port, operator, .. } = self;
        operator
            .done(&format!(
                "broker config {broker} --output-directory conf --directory broker \
                 --listen 127.0.0.1 --port {port} --websocket-port {websocket_port}"
            ))
            .await?;
        Ok(operator.path("conf"))
    }

    pub(crate) async fn device(&self) -> anyhow::Result<Device> {
        self.device_of(&self.stack).await
    }

    /// Returns a new device of any stack, which trusts this setup's broker.
    pub(crate) async fn device_of(&self, stack: &Stack) -> anyhow::Result<Device> {
        self.device_on(stack, &stack.state.enrollment_token).await
    }

    /// As [`BrokerSetup::device_of`], with another enrollment token.
    pub(crate) async fn device_on(&self, stack: &Stack, token: &str) -> anyhow::Result<Device> {
        let answer = stack.api.enroll(token).await?;
        ensure!(answer.status == 200, "{answer:?}");
        let enrolled: Enrolled = serde_json::from_value(answer.json)?;
        let identity = stack.api.released(&enrolled).await?;
        let id = enrolled.device_id.to_string();
        let (chain, key) = (self.path(&format!("{id}.pem")), self.path(&format!("{id}-key.pem")));
        fs::write(&chain, &identity.certificate_chain_pem)?;
        fs::write(&key, &identity.device_private_key_pem)?;
        let client = self.client(&id, Some((chain, key)));
        Ok(Device { enrolled, client })
    }

    pub(crate) fn client(&self, id: &str, identity: Option<(PathBuf, PathBuf)>) -> Client {
        let cafile = self.operator.path("broker/root.pem");
        Client { id: id.to_owned(), clean_session: true, cafile, identity, limit: ANSWER_LIMIT }
    }

    /// Checks that no other machine on the network can reach the broker.
    pub(crate) async fn listens_on_loopback_alone(&self) -> anyhow::Result<()> {
        for port in [self.port, self.websocket_port] {
            // All of 127.0.0.0/8 is this machine: a server that answers here too listens on every
            // interface.
            ensure!(is_closed(("127.0.0.2", port)).await?, "{port} is open on every interface");
        }
        Ok(())
    }

    /// Renews the broker's certificate, and checks that after `reload` new connections get the new
    /// one.
    pub(crate) async fn takes_a_renewed_certificate(&self, reload: &str) -> anyhow::Result<()> {
        let ports = [self.port, self.websocket_port];
        let renew = ["broker", "renew", "--directory", "broker", "--within", "400d"];
        let reload = format!("--reload-command={reload}");
        let before = self.served(ports).await?;
        self.operator.run_with(&[renew.as_slice(), &[&reload]].concat()).await?.done()?;
        let chain = self.operator.path("broker/broker-chain.pem");
        let new = serial(&format!("cat {}", text(&chain))).await?;
        ensure!(before.iter().all(|it| *it != new), "{before:?}");
        // A signal returns before the broker has acted on it.
        let deadline = Instant::now() + RELOAD;
        loop {
            let served = self.served(ports).await?;
            if served.iter().all(|it| *it == new) {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "{served:?} are served, and not {new}");
            sleep(Duration::from_millis(50)).await;
        }
    }

    async fn served(&self, ports: [u16; 2]) -> anyhow::Result<Vec<String>> {
        let mut serials = Vec::new();
        for port in ports {
            // Without a client certificate, which the client sends after the server's.
            let show = format!("openssl s_client -connect 127.0.0.1:{port} </dev/null 2>/dev/null");
            serials.push(serial(&show).await?);
        }
        Ok(serials)
    }

    fn path(&self, file: &str) -> PathBuf {
        self.scratch.path().join(file)
    }

    /// Checks that each of two devices publishes and subscribes in its own topics only.
    pub(crate) async fn topics_are_apart(
        &self,
        endpoint: Endpoint,
        alice: &Device,
        bob: &Device,
    ) -> anyhow::Result<()> {
        let mut alices = alice.client.connect(endpoint).await?.open()?;
        ensure!(alices.subscribe(&alice.topic("#")).await?, "alice's own topics");
        ensure!(alices.publish(&alice.topic("a/b"), "first").await?);
        ensure!(alices.next().await?.as_deref() == Some("first"));

        // Brokers deny in different ways: silently, with an error, or by closing the connection.
        // What counts is that nothing arrives, which alice's own next message proves.
        for topic in [alice.topic("a/b"), "telemetry".into(), "devices".into()] {
            let mut bobs = bob.client.connect(endpoint).await?.open()?;
            bobs.publish(&topic, "forged").await?;
        }
        ensure!(alices.publish(&alice.topic("a"), "second").await?);
        ensure!(alices.next().await?.as_deref() == Some("second"), "bob's message arrived");

        for topic in [alice.topic("#"), "#".into(), "devices/+/a".into(), "+/+/#".into()] {
            let mut bobs = bob.client.connect(endpoint).await?.open()?;
            bobs.subscribe(&topic).await?;
            ensure!(alices.publish(&alice.topic("a"), "third").await?);
            ensure!(alices.next().await?.as_deref() == Some("third"));
            // Closed by the broker, unless it merely ignored the first subscription.
            if bobs.subscribe(&bob.topic("#")).await? {
                bobs.publish(&bob.topic("b"), "mine").await?;
                let next = bobs.next().await?;
                ensure!(next.as_deref() != Some("third"), "bob reads alice's topics by {topic}");
                ensure!(next.is_none() || next.as_deref() == Some("mine"), "{topic}: {next:?}");
            }
        }
        let mut bobs = bob.client.connect(endpoint).await?.open()?;
        ensure!(bobs.subscribe(&bob.topic("#")).await?, "bob's own topics");
        ensure!(bobs.publish(&bob.topic("b"), "mine").await?);
        ensure!(bobs.next().await?.as_deref() == Some("mine"));
        Ok(())
    }

    /// Checks that only a certificate of this root's device CA opens a session.
    pub(crate) async fn strangers_stay_out(
        &self,
        endpoint: Endpoint,
        device: &Device,
    ) -> anyhow::Result<()> {
        let id = device.id();
        drop(device.client.connect(endpoint).await?.open()?);

        let nobody = self.client(&id, None).connect(endpoint).await?;
        ensure!(nobody.is_refused(), "without a certificate: {nobody:?}");

        let broker = |file: &str| self.operator.path("broker").join(file);
        let servers = (broker("broker-chain.pem"), broker("broker-key.pem"));
        let server = self.client(&id, Some(servers)).connect(endpoint).await?;
        ensure!(server.is_refused(), "with a certificate of the server CA: {server:?}");

        let other = Stack::start(&self.path("other-stack")).await?;
        let stranger = self.device_of(&other).await?.client.connect(endpoint).await?;
        ensure!(stranger.is_refused(), "a device of another root: {stranger:?}");
        other.stop().await
    }
}

async fn serial(show: &str) -> anyhow::Result<String> {
    let shown = tool::run("sh", ["-c", &format!("{show} | openssl x509 -noout -serial")]).await?;
    ensure!(shown.output.starts_with("serial="), "{show}: {}", shown.output);
    Ok(shown.output)
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}
