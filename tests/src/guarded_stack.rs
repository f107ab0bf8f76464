//! A whole stack on this machine, and beside it a broker with its agent: from the operator's command to
//! the device that is out.

use std::fs;
use std::path::Path;

use anyhow::Context as _;
use futures_util::future::try_join_all;

use crate::agent::{Agent, Beside, option};
use crate::mosquitto::{Mosquitto, Version, hand_over};
use crate::mqtt_session::{Client, Endpoint};
use crate::nats::Nats;
use crate::operator::Operator;
use crate::process::free_port;
use crate::rabbitmq::Rabbitmq;
use crate::stack::Stack;

/// Which broker it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Mosquitto.
    Mosquitto(Version),
    /// Debian's RabbitMQ.
    Rabbitmq,
    /// Debian's nats-server.
    Nats,
}

/// The stack, its operator, and the broker.
pub struct GuardedStack {
    /// The stack, which publishes.
    pub stack: Stack,
    /// Who revokes.
    pub operator: Operator,
    /// The devices that the broker knows.
    pub devices: Vec<Client>,
    kind: Kind,
    port: u16,
    websocket_port: u16,
    /// Where the devices' files are, and the stack's.
    _scratch: tempfile::TempDir,
    _broker: Broker,
}

/// Stopped when it is dropped.
#[expect(dead_code, reason = "they are only held")]
enum Broker {
    Mosquitto(Mosquitto),
    Rabbitmq(Rabbitmq),
    Nats(Nats),
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Mosquitto(Version::V2_0),
        Self::Mosquitto(Version::V2_1),
        Self::Rabbitmq,
        Self::Nats,
    ];

    /// As `birthcert broker config` names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mosquitto(_) => "mosquitto",
            Self::Rabbitmq => "rabbitmq",
            Self::Nats => "nats",
        }
    }

    /// What the agent writes first.
    fn file(self) -> &'static str {
        match self {
            Self::Mosquitto(_) => "acl",
            Self::Rabbitmq => "crls",
            Self::Nats => "devices.conf",
        }
    }
}

impl GuardedStack {
    /// Starts all of it, with so many devices and this pause between the agent's questions.
    ///
    /// # Errors
    /// Something does not start.
    pub async fn start(
        kind: Kind,
        interval: &str,
        devices: usize,
    ) -> anyhow::Result<(Self, Agent)> {
        let scratch = tempfile::TempDir::new()?;
        let stack = Stack::start(&scratch.path().join("stack")).await?;
        let operator = Operator::of(&stack)?;
        operator.done("broker issue --dns localhost --ip 127.0.0.1 --directory broker").await?;
        let root = operator.path("broker/root.pem");
        let devices = (0..devices).map(|_| device(&stack, &root, scratch.path()));
        let devices = try_join_all(devices).await?;

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
        options.extend(prepare(kind, &operator).await?);
        let arguments = [name.to_owned()].into_iter().chain(options.into_iter().flatten());
        let beside = Beside {
            arguments: arguments.collect(),
            log: operator.path("agent.log"),
            before: String::new(),
            directory,
        };
        let mut agent = beside.start()?;
        // Without its files the broker would not start; without the broker, the agent waits for it.
        agent.until(|_| beside.directory.join(kind.file()).exists()).await?;
        let broker = broker(kind, &operator, &beside.directory, port).await?;
        agent.until(|status| status["applied"] == true && status["level"] == "ok").await?;
        let guarded = Self {
            stack,
            operator,
            devices,
            kind,
            port,
            websocket_port,
            _scratch: scratch,
            _broker: broker,
        };
        Ok((guarded, agent))
    }

    /// Where the broker listens: by TCP, and by WebSocket.
    pub fn endpoints(&self) -> [Endpoint; 2] {
        let path = match self.kind {
            Kind::Mosquitto(_) | Kind::Nats => "/mqtt",
            Kind::Rabbitmq => "/ws",
        };
        [Endpoint::Tcp(self.port), Endpoint::WebSocket(self.websocket_port, path)]
    }

    /// A device that nobody has used yet.
    ///
    /// # Errors
    /// There is none left.
    pub fn device(&mut self) -> anyhow::Result<Client> {
        self.devices.pop().context("no device is left")
    }
}

/// What the broker and its agent need besides: users, and ways to be told. Returns the agent's options.
async fn prepare(kind: Kind, operator: &Operator) -> anyhow::Result<Vec<[String; 2]>> {
    Ok(match kind {
        Kind::Mosquitto(_) => vec![
            option("--acl", &operator.path("conf/acl")),
            option("--pid-file", &operator.path("revocation/mosquitto.pid")),
        ],
        Kind::Rabbitmq => {
            let management = free_port()?;
            let file = operator.path("conf/rabbitmq.conf");
            let port = format!("management.tcp.port = {management}");
            let config = fs::read_to_string(&file)?;
            fs::write(file, config.replace("management.tcp.port = 15672", &port))?;
            operator.done("broker users rabbitmq --file users.json").await?;
            fs::write(operator.path("credentials"), "agent:a password: for tests\n")?;
            vec![
                ["--management".into(), format!("http://127.0.0.1:{management}")],
                option("--credentials", &operator.path("credentials")),
            ]
        }
        Kind::Nats => {
            operator.done("broker users nats --file users.conf").await?;
            let (file, pid_file) =
                (operator.path("conf/nats-server.conf"), operator.path("nats.pid"));
            let config = fs::read_to_string(&file)?;
            fs::write(file, format!("{config}\npid_file: \"{}\"\n", pid_file.display()))?;
            vec![option("--users", &operator.path("users.conf")), option("--pid-file", &pid_file)]
        }
    })
}

async fn broker(
    kind: Kind,
    operator: &Operator,
    directory: &Path,
    port: u16,
) -> anyhow::Result<Broker> {
    let conf = operator.path("conf");
    Ok(match kind {
        Kind::Mosquitto(version) => {
            hand_over(directory).await?;
            let certificates = operator.path("broker");
            let started = Mosquitto::start_configured(version, &conf, &certificates, port).await?;
            Broker::Mosquitto(started)
        }
        Kind::Rabbitmq => {
            let broker = Rabbitmq::start(&conf, port).await?;
            broker.import(&operator.path("users.json")).await?;
            broker.ctl(&["add_user", "agent", "a password: for tests"]).await?;
            broker.ctl(&["set_user_tags", "agent", "administrator"]).await?;
            Broker::Rabbitmq(broker)
        }
        Kind::Nats => Broker::Nats(Nats::start(&conf, port).await?),
    })
}

/// A device that has its identity.
async fn device(stack: &Stack, root: &Path, folder: &Path) -> anyhow::Result<Client> {
    let (enrolled, identity) = stack.new_device().await?;
    let id = enrolled.device_id.to_string();
    let path = |name: &str| folder.join(format!("{id}{name}"));
    let files = (path(".pem"), path("-key.pem"));
    fs::write(&files.0, &identity.certificate_chain_pem)?;
    fs::write(&files.1, &identity.device_private_key_pem)?;
    Ok(Client { id, clean_session: true, cafile: root.to_owned(), identity: Some(files) })
}
