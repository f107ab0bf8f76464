//! Brokers with an agent: their setup beyond the configuration that operators get, and their start.

use std::fs;

use crate::brokers::mosquitto::{Mosquitto, Version, chown_to_mosquitto};
use crate::brokers::nats::Nats;
use crate::brokers::rabbitmq::Rabbitmq;
use crate::operator::Operator;
use crate::process::{free_port, option};

/// A broker product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BrokerKind {
    /// Mosquitto.
    Mosquitto(Version),
    /// Debian's RabbitMQ.
    Rabbitmq,
    /// Debian's nats-server.
    Nats,
}

/// A running broker. Dropping it stops it.
#[derive(Debug)]
pub enum Broker {
    /// Mosquitto.
    Mosquitto(Mosquitto),
    /// RabbitMQ.
    Rabbitmq(Rabbitmq),
    /// nats-server.
    Nats(Nats),
}

impl BrokerKind {
    /// Returns the name for `birthcert broker config`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mosquitto(_) => "mosquitto",
            Self::Rabbitmq => "rabbitmq",
            Self::Nats => "nats",
        }
    }

    /// Returns the users file that `birthcert broker users` writes.
    pub fn users(self) -> Option<&'static str> {
        match self {
            Self::Mosquitto(_) => None,
            Self::Rabbitmq => Some("users.json"),
            Self::Nats => Some("users.conf"),
        }
    }

    /// Returns the agent's first file, without which the broker does not start.
    pub fn first_file(self) -> &'static str {
        match self {
            Self::Mosquitto(_) => "acl",
            Self::Rabbitmq => "crls",
            Self::Nats => "devices.conf",
        }
    }

    /// Completes the configuration in the operator's `conf`, for an agent with the directory
    /// `revocation`. Returns the agent's options.
    ///
    /// # Errors
    /// If the configuration is missing.
    pub fn prepare(self, operator: &Operator) -> anyhow::Result<Vec<[String; 2]>> {
        let change = |file: &str, change: &dyn Fn(String) -> String| {
            let path = operator.path("conf").join(file);
            let config = fs::read_to_string(&path)?;
            fs::write(path, change(config))
        };
        Ok(match self {
            Self::Mosquitto(_) => vec![
                option("--acl", &operator.path("conf/acl")),
                option("--pid-file", &operator.path("revocation/mosquitto.pid")),
            ],
            Self::Rabbitmq => {
                let management = free_port()?;
                let port = format!("management.tcp.port = {management}");
                change("rabbitmq.conf", &|it| it.replace("management.tcp.port = 15672", &port))?;
                let credentials = operator.path("credentials");
                fs::write(&credentials, format!("{USER}:{PASSWORD}\n"))?;
                vec![
                    ["--management".into(), format!("http://127.0.0.1:{management}")],
                    option("--credentials", &credentials),
                ]
            }
            Self::Nats => {
                let monitoring = format!("127.0.0.1:{}", free_port()?);
                let pid_file = operator.path("nats.pid");
                let pid = format!("\npid_file: \"{}\"\n", pid_file.display());
                change("nats-server.conf", &|it| it.replace("127.0.0.1:8222", &monitoring) + &pid)?;
                vec![
                    option("--users", &operator.path("users.conf")),
                    option("--pid-file", &pid_file),
                    ["--monitoring".into(), format!("http://{monitoring}")],
                ]
            }
        })
    }

    /// Starts the broker, once the agent has written its first file.
    ///
    /// # Errors
    /// If the broker does not start.
    pub async fn start(self, operator: &Operator, port: u16) -> anyhow::Result<Broker> {
        let conf = operator.path("conf");
        Ok(match self {
            Self::Mosquitto(version) => {
                chown_to_mosquitto(&operator.path("revocation")).await?;
                let certificates = operator.path("broker");
                let started = Mosquitto::start_configured(version, &conf, &certificates, port);
                Broker::Mosquitto(started.await?)
            }
            Self::Rabbitmq => {
                let broker = Rabbitmq::start(&conf, port).await?;
                broker.import(&operator.path("users.json")).await?;
                broker.ctl(&["add_user", USER, PASSWORD]).await?;
                broker.ctl(&["set_user_tags", USER, "administrator"]).await?;
                Broker::Rabbitmq(broker)
            }
            Self::Nats => Broker::Nats(Nats::start(&conf, port).await?),
        })
    }

    /// Returns the path of the WebSocket listener.
    pub fn websocket_path(self) -> &'static str {
        match self {
            Self::Mosquitto(_) | Self::Nats => "/mqtt",
            Self::Rabbitmq => "/ws",
        }
    }
}

/// The agent's user at RabbitMQ.
const USER: &str = "agent";
const PASSWORD: &str = "a password: for tests";
