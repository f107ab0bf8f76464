//! A broker's host with the agent's directory, and CAs with keys in memory that publish for it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;
use pki::clock::Timestamp;
use pki::key::KeyKinds;
use pki::names::DeviceId;
use pki::profile::{self, Profile, Role, Service, Usage};

use crate::agent::process::AgentCommand;
use crate::agent::publisher::Publisher;
use crate::mqtt::session::{ANSWER_LIMIT, Client, Endpoint};
use crate::operator::Operator;
use crate::pki::ca::{Ca, Leaf, revoked};
use crate::process::{free_port, option};

/// A broker's host: its certificate, its configuration and its agent's directory.
pub struct BrokerHost {
    /// The publisher that the agent polls.
    pub publisher: Publisher,
    /// The operator of this host, whose home has its files.
    pub operator: Operator,
    /// The broker's port for MQTT over TLS.
    pub port: u16,
    /// The broker's port for MQTT over WebSockets.
    pub websocket_port: u16,
    observers: AtomicU32,
}

/// A device with a certificate.
pub struct Device {
    /// The device's id.
    pub id: DeviceId,
    /// The device's certificate and key.
    pub leaf: Leaf,
    /// An MQTT client with that certificate.
    pub client: Client,
}

impl Device {
    /// Returns one of the device's own topics.
    pub fn topic(&self, name: &str) -> String {
        format!("devices/{}/{name}", self.id)
    }
}

/// Number of services that may read and write every device's topics. Brokers that bind client ids
/// to certificates allow each of them one session.
const OBSERVERS: u32 = 9;

fn observer_name(number: u32) -> String {
    format!("observer-{number}.example.com")
}

impl BrokerHost {
    /// Creates a host with a broker certificate, and CAs that publish.
    ///
    /// # Errors
    /// If the file system refuses, or no port is free.
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
        Ok(Self { publisher, operator, port, websocket_port, observers: AtomicU32::new(0) })
    }

    /// Returns the addresses at which the broker listens.
    pub fn endpoints(&self) -> [Endpoint; 2] {
        [Endpoint::Tcp(self.port), Endpoint::WebSocket(self.websocket_port, "/mqtt")]
    }

    /// Writes the configuration of `broker` into `conf`, with the agent's files in `revocation`.
    ///
    /// # Errors
    /// If the command is not built, or fails.
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

    /// Returns the command of this broker's agent, with these options.
    pub fn agent_command(&self, broker: &str, options: &[[String; 2]]) -> AgentCommand {
        let directory = self.operator.path("revocation");
        let mut arguments = vec![broker.to_owned()];
        let own = [
            ["--source".to_owned(), self.publisher.publication.url().to_owned()],
            option("--root", &self.operator.path("broker/root.pem")),
            option("--directory", &directory),
            ["--interval".to_owned(), "100ms".to_owned()],
        ];
        arguments.extend(own.iter().chain(options).flatten().cloned());
        let log = self.operator.path("agent.log");
        AgentCommand { arguments, directory, log, before: String::new() }
    }

    /// Creates a device.
    ///
    /// # Errors
    /// If the file system refuses.
    pub fn device(&self) -> anyhow::Result<Device> {
        self.device_of("device")
    }

    /// Creates a device of this CA.
    ///
    /// # Errors
    /// As [`BrokerHost::device`].
    pub fn device_of(&self, ca: &str) -> anyhow::Result<Device> {
        let id = DeviceId::generate(&mut UnwrapErr(SysRng));
        let device = profile::Device { id, organization: None, key_kinds: KeyKinds::all() };
        let leaf = self.publisher.ca(ca).issue(&Profile::Device(device));
        let client = self.client(&id.to_string(), &leaf)?;
        Ok(Device { id, leaf, client })
    }

    /// Makes these devices users of `broker`.
    ///
    /// # Errors
    /// As [`BrokerHost::configure`].
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

    /// Creates a service that sees all messages of devices, another one each time.
    ///
    /// # Errors
    /// As [`BrokerHost::device`].
    pub fn observer(&self) -> anyhow::Result<Client> {
        let number = self.observers.fetch_add(1, Ordering::SeqCst) % OBSERVERS;
        let name = observer_name(number);
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
        Ok(Client {
            id: id.to_owned(),
            clean_session: true,
            cafile,
            identity: Some(files),
            limit: ANSWER_LIMIT,
        })
    }

    /// Revokes the certificate, denies the device, and publishes both.
    pub fn revoke(&mut self, device: &Device) {
        self.revoke_certificate(device);
        self.publisher.denied.push(device.id);
        self.publisher.publish();
    }

    /// Adds the certificate to the next CRL.
    pub fn revoke_certificate(&mut self, device: &Device) {
        let entry = revoked(&device.leaf.serial_number, Timestamp::now().minus(1));
        self.publisher.revoked.entry("device").or_default().push(entry);
    }
}

/// Returns a path as text.
///
/// # Panics
/// If the path is not UTF-8.
pub fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// Lets the observers read and write every topic, in the operator's access list.
///
/// # Errors
/// If the file system refuses.
pub fn allow_observers(acl: &Path) -> anyhow::Result<()> {
    let mut rules = fs::read_to_string(acl)?;
    for number in 0..OBSERVERS {
        // Without a line feed at the end, as in many hand-written files.
        rules += &format!("\nuser {}\ntopic readwrite devices/#", observer_name(number));
    }
    Ok(fs::write(acl, rules)?)
}
