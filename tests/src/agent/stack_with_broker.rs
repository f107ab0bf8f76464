//! A whole stack on this machine with a broker and its agent: from the operator's command to the
//! device that is refused.

use std::fs;
use std::path::Path;

use anyhow::Context as _;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use crate::agent::process::{Agent, AgentCommand};
use crate::brokers::kind::{Broker, BrokerKind};
use crate::mqtt::session::{ANSWER_LIMIT, Client, Endpoint};
use crate::operator::Operator;
use crate::process::{free_port, option};
use crate::stack::Stack;

/// Number of devices that enroll at a time. A stack that shares two cores with three others refuses
/// more, as it should.
const AT_A_TIME: usize = 4;

/// The stack, its operator, and the broker.
pub struct StackWithBroker {
    /// The stack, which publishes.
    pub stack: Stack,
    /// The operator who revokes.
    pub operator: Operator,
    /// Devices that the broker knows.
    pub devices: Vec<Client>,
    kind: BrokerKind,
    port: u16,
    websocket_port: u16,
    /// The files of the devices and of the stack.
    _scratch: tempfile::TempDir,
    _broker: Broker,
}

impl StackWithBroker {
    /// Starts everything, with this many devices and this polling interval.
    ///
    /// # Errors
    /// If a program does not start.
    pub async fn start(
        kind: BrokerKind,
        interval: &str,
        devices: usize,
    ) -> anyhow::Result<(Self, Agent)> {
        let scratch = tempfile::TempDir::new()?;
        let stack = Stack::start(&scratch.path().join("stack")).await?;
        let operator = Operator::of(&stack)?;
        operator.done("broker issue --dns localhost --ip 127.0.0.1 --directory broker").await?;
        let root = operator.path("broker/root.pem");
        let devices = (0..devices).map(|_| device(&stack, &root, scratch.path()));
        let devices = stream::iter(devices).buffered(AT_A_TIME).try_collect().await?;

        let (name, port, websocket_port) = (kind.name(), free_port()?, free_port()?);
        let configure = format!(
            "broker config {name} --output-directory conf --directory broker --listen 127.0.0.1 \
             --port {port} --websocket-port {websocket_port} --revocation-directory revocation"
        );
        operator.done(&configure).await?;
        let directory = operator.path("revocation");
        fs::create_dir(&directory)?;
        let mut options = vec![
            ["--source".into(), stack.state.api_url.clone()],
            option("--root", &root),
            option("--directory", &directory),
            ["--interval".into(), interval.into()],
        ];
        if let Some(users) = kind.users() {
            operator.done(&format!("broker users {name} --file {users}")).await?;
        }
        options.extend(kind.prepare(&operator)?);
        let arguments = [name.to_owned()].into_iter().chain(options.into_iter().flatten());
        let command = AgentCommand {
            arguments: arguments.collect(),
            log: operator.path("agent.log"),
            before: String::new(),
            directory,
        };
        let mut agent = command.start()?;
        // The broker does not start without the agent's files; the agent waits for the broker.
        agent.until(|_| command.directory.join(kind.first_file()).exists()).await?;
        let broker = kind.start(&operator, port).await?;
        agent.until(|status| status["applied"] == true && status["level"] == "ok").await?;
        let setup = Self {
            stack,
            operator,
            devices,
            kind,
            port,
            websocket_port,
            _scratch: scratch,
            _broker: broker,
        };
        Ok((setup, agent))
    }

    /// Returns the addresses at which the broker listens.
    pub fn endpoints(&self) -> [Endpoint; 2] {
        [
            Endpoint::Tcp(self.port),
            Endpoint::WebSocket(self.websocket_port, self.kind.websocket_path()),
        ]
    }

    /// Takes a device that is not in use yet.
    ///
    /// # Errors
    /// If no device is left.
    pub fn device(&mut self) -> anyhow::Result<Client> {
        self.devices.pop().context("no device is left")
    }
}

/// Enrolls a device and gets its identity.
async fn device(stack: &Stack, root: &Path, folder: &Path) -> anyhow::Result<Client> {
    let (enrolled, identity) = stack.new_device().await?;
    let id = enrolled.device_id.to_string();
    let path = |name: &str| folder.join(format!("{id}{name}"));
    let files = (path(".pem"), path("-key.pem"));
    fs::write(&files.0, &identity.certificate_chain_pem)?;
    fs::write(&files.1, &identity.device_private_key_pem)?;
    Ok(Client {
        id,
        clean_session: true,
        cafile: root.to_owned(),
        identity: Some(files),
        limit: ANSWER_LIMIT,
    })
}
