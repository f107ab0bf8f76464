//! A broker's machine with the agent's directory on it, and CAs with keys in memory that publish for it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::agent::{Beside, option};
use crate::mqtt_session::{Client, Endpoint, Session};
use crate::operator::Operator;
use crate::pki::{Ca, Leaf, revoked};
use crate::process::free_port;
use crate::publication::Publisher;
use anyhow::{Context as _, ensure};
use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;
use pki::clock::Timestamp;
use pki::key::KeyKinds;
use pki::names::DeviceId;
use pki::profile::{self, Profile, Usage};
use pki::profile::{Role, Service};

/// For what a broker does after a signal, which returns before: far more, because machines compile at the
/// same time.
pub const SOON: Duration = Duration::from_secs(40);
/// For what should not come.
const MOMENT: Duration = Duration::from_millis(500);

/// A broker's machine: its certificate, its configuration and its agent's directory.
pub struct Site {
    /// Who publishes for it.
    pub publisher: Publisher,
    /// Its files.
    pub operator: Operator,
    /// Where its broker speaks MQTT.
    pub port: u16,
    /// And by WebSocket.
    pub websocket_port: u16,
    witnesses: AtomicU32,
}

/// Who connects.
pub struct Device {
    /// Its id.
    pub id: DeviceId,
    /// Its certificate.
    pub leaf: Leaf,
    /// What it connects with.
    pub client: Client,
}

impl Device {
    /// One of its own topics.
    pub fn topic(&self, name: &str) -> String {
        format!("devices/{}/{name}", self.id)
    }
}

/// How many services may read and write every device's topics: a broker that binds client ids to
/// certificates allows each one session.
const WITNESSES: u32 = 9;

fn witness_name(number: u32) -> String {
    format!("witness-{number}.example.com")
}

impl Site {
    /// With CAs and a broker's certificate.
    ///
    /// # Errors
    /// The file system refuses, or no port is free.
    pub async fn start() -> anyhow::Result<Self> {
        let root = Ca::root("Root");
        let device = root.subordinate("Device CA", Usage::Device);
        let service = root.subordinate("Service CA", Usage::Service);
        let server = root.subordinate("Server CA", Usage::Server);
        let operator = Operator::offline()?;
        fs::create_dir(operator.path("broker"))?;
        let host = "127.0.0.1".parse().expect("a host");
        let profile =
            Profile::Service(Service::new(Role::Server, host, vec!["127.0.0.1".parse()?])?);
        let broker = server.issue(&profile);
        fs::write(operator.path("broker/broker-chain.pem"), broker.chain_pem)?;
        fs::write(operator.path("broker/broker-key.pem"), broker.key_pem)?;
        fs::write(operator.path("broker/root.pem"), root.certificate.pem())?;
        let publisher = Publisher::start(root, vec![("device", device), ("service", service)]);
        let publisher = publisher.await?;
        let (port, websocket_port) = (free_port()?, free_port()?);
        Ok(Self { publisher, operator, port, websocket_port, witnesses: AtomicU32::new(0) })
    }

    /// Where its broker listens.
    pub fn endpoints(&self) -> [Endpoint; 2] {
        [Endpoint::Tcp(self.port), Endpoint::WebSocket(self.websocket_port, "/mqtt")]
    }

    /// Writes the configuration of `broker` into `conf`, with the agent's files in `revocation`.
    ///
    /// # Errors
    /// The command is not built, or fails.
    pub async fn configure(&self, broker: &str) -> anyhow::Result<PathBuf> {
        let Self { port, websocket_port, operator, .. } = self;
        operator
            .done(&format!(
                "broker config {broker} --output-directory conf --directory broker \
                 --listen 127.0.0.1 --port {port} --websocket-port {websocket_port} \
                 --revocation-directory revocation"
            ))
            .await?;
        fs::create_dir(operator.path("revocation"))?;
        Ok(operator.path("conf"))
    }

    /// The agent of this broker, with these options.
    pub fn beside(&self, broker: &str, options: &[[String; 2]]) -> Beside {
        let directory = self.operator.path("revocation");
        let mut arguments = vec![broker.to_owned()];
        let own = [
            ["--source".to_owned(), self.publisher.publication.url.clone()],
            option("--root", &self.operator.path("broker/root.pem")),
            option("--directory", &directory),
            ["--interval".to_owned(), "100ms".to_owned()],
        ];
        arguments.extend(own.iter().chain(options).flatten().cloned());
        let log = self.operator.path("agent.log");
        Beside { arguments, directory, log, before: String::new() }
    }

    /// A device.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn device(&self) -> anyhow::Result<Device> {
        self.device_of("device")
    }

    /// A device of this CA.
    ///
    /// # Errors
    /// As [`Site::device`].
    pub fn device_of(&self, ca: &str) -> anyhow::Result<Device> {
        let id = DeviceId::generate(&mut UnwrapErr(SysRng));
        let device = profile::Device { id, organization: None, key_kinds: KeyKinds::all() };
        let leaf = self.publisher.ca(ca).issue(&Profile::Device(device));
        let client = self.client(&id.to_string(), &leaf)?;
        Ok(Device { id, leaf, client })
    }

    /// Has these devices be users of `broker`.
    ///
    /// # Errors
    /// As [`Site::configure`].
    pub async fn write_users(
        &self,
        broker: &str,
        file: &str,
        devices: &[Device],
    ) -> anyhow::Result<()> {
        let ids: String = devices.iter().map(|it| format!(" --device {}", it.id)).collect();
        let line = format!("broker users {broker} --file {file}{ids}");
        self.operator.done(&line).await.map(drop)
    }

    /// A service that sees what devices publish, each time another one.
    ///
    /// # Errors
    /// As [`Site::device`].
    pub fn witness(&self) -> anyhow::Result<Client> {
        let number = self.witnesses.fetch_add(1, Ordering::SeqCst) % WITNESSES;
        let name = witness_name(number);
        let service = Service::new(Role::Client, name.parse()?, vec![])?;
        let leaf = self.publisher.ca("service").issue(&Profile::Service(service));
        self.client(&name, &leaf)
    }

    fn client(&self, id: &str, leaf: &Leaf) -> anyhow::Result<Client> {
        let path = |name: &str| self.operator.path(&format!("{id}{name}"));
        let files = (path(".pem"), path("-key.pem"));
        fs::write(&files.0, &leaf.chain_pem)?;
        fs::write(&files.1, &leaf.key_pem)?;
        let cafile = self.operator.path("broker/root.pem");
        Ok(Client { id: id.to_owned(), clean_session: true, cafile, identity: Some(files) })
    }

    /// Revokes the certificate, denies the device, and publishes both.
    pub fn revoke(&mut self, device: &Device) {
        self.revoke_certificate(device);
        self.publisher.denied.push(device.id);
        self.publisher.publish();
    }

    /// Has the next CRL list the certificate.
    pub fn revoke_certificate(&mut self, device: &Device) {
        let entry = revoked(&device.leaf.serial_number, Timestamp::now().minus(1));
        self.publisher.revoked.entry("device").or_default().push(entry);
    }
}

/// A device's session that is open, and others' by which it shows what of it gets through.
pub struct Watched {
    /// The device's.
    pub device: Session,
    witness: Session,
    topic: String,
    round: u32,
}

impl Watched {
    /// Opens both sessions, and sees that what the device sends and should get arrives.
    ///
    /// # Errors
    /// One is refused, or nothing arrives.
    pub async fn open(
        device: &Device,
        witness: Client,
        endpoint: Endpoint,
        witness_endpoint: Endpoint,
    ) -> anyhow::Result<Self> {
        let mut sessions = Self {
            device: device.client.connect(endpoint).await?.open().context("the device")?,
            witness: witness.connect(witness_endpoint).await?.open().context("the witness")?,
            topic: device.topic(""),
            round: 0,
        };
        let (up, down) = (format!("{}up/#", sessions.topic), format!("{}down", sessions.topic));
        ensure!(sessions.witness.subscribe(&up).await?, "the witness's subscription");
        ensure!(sessions.device.subscribe(&down).await?, "the device's subscription");
        ensure!(sessions.is_heard().await?, "what the device publishes");
        ensure!(sessions.hears().await?, "what the device is sent");
        Ok(sessions)
    }

    /// Whether what the device publishes now arrives.
    ///
    /// # Errors
    /// The witness's session ended.
    pub async fn is_heard(&mut self) -> anyhow::Result<bool> {
        self.round += 1;
        let (mine, end) = (format!("mine {}", self.round), format!("end {}", self.round));
        let published = self.device.publish(&format!("{}up/mine", self.topic), &mine).await;
        // Of the broker's end, which may hang up at any time.
        let _ = published;
        self.witness.publish(&format!("{}up/end", self.topic), &end).await?;
        let next = self.witness.next().await?;
        if next.as_deref() == Some(&mine) {
            ensure!(self.witness.next().await?.as_deref() == Some(&end), "in order");
            return Ok(true);
        }
        ensure!(next.as_deref() == Some(&end), "{next:?}");
        Ok(false)
    }

    /// Whether what the device is sent now arrives.
    ///
    /// # Errors
    /// The witness's session ended.
    pub async fn hears(&mut self) -> anyhow::Result<bool> {
        self.hears_within(SOON).await
    }

    async fn hears_within(&mut self, limit: Duration) -> anyhow::Result<bool> {
        self.witness.publish(&format!("{}down", self.topic), "for you").await?;
        Ok(self.device.quiet(limit).await.is_err())
    }

    /// Waits until nothing of the device's gets through, in either direction.
    ///
    /// # Errors
    /// Something still does after [`SOON`].
    pub async fn is_cut_off(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + SOON;
        while self.is_heard().await? {
            ensure!(Instant::now() < deadline, "it still publishes");
        }
        while self.hears_within(MOMENT).await? {
            ensure!(Instant::now() < deadline, "it still receives");
        }
        // And it stays so.
        let is_back = self.is_heard().await? || self.hears_within(MOMENT).await?;
        ensure!(!is_back, "it came back");
        Ok(())
    }
}

/// A path's text.
///
/// # Panics
/// It is no UTF-8.
pub fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// What a device publishes comes back to it, by a subscription with this QoS.
///
/// # Errors
/// It does not.
pub async fn echoes(device: &Device, session: &mut Session, qos: u8) -> anyhow::Result<()> {
    ensure!(session.subscribe_at(&device.topic("up"), qos).await?, "its own topics");
    ensure!(session.publish(&device.topic("up"), "mine").await?, "a publish");
    ensure!(session.next().await?.as_deref() == Some("mine"), "what it published");
    Ok(())
}

/// Waits until nobody is let in as this device.
///
/// # Errors
/// It is still let in after [`SOON`].
pub async fn is_refused(device: &Device, endpoint: Endpoint) -> anyhow::Result<()> {
    let deadline = Instant::now() + SOON;
    while !device.client.connect(endpoint).await?.is_refused() {
        ensure!(Instant::now() < deadline, "it still gets in");
    }
    Ok(())
}

/// Has the operator's access list let the witnesses read and write everything.
///
/// # Errors
/// The file system refuses.
pub fn let_the_witnesses_in(acl: &Path) -> anyhow::Result<()> {
    let mut rules = fs::read_to_string(acl)?;
    for number in 0..WITNESSES {
        // Without a line feed at its end, as people's files are at times.
        rules += &format!("\nuser {}\ntopic readwrite devices/#", witness_name(number));
    }
    Ok(fs::write(acl, rules)?)
}
