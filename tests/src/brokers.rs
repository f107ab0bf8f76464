//! Brokers beside which an agent is: what they and the agent need besides the configuration that operators
//! get, and how they start.

use std::fs;

use crate::agent::option;
use crate::mosquitto::{Mosquitto, Version, hand_over};
use crate::nats::Nats;
use crate::operator::Operator;
use crate::process::free_port;
use crate::rabbitmq::Rabbitmq;

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

impl Kind {
    /// As `birthcert broker config` names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mosquitto(_) => "mosquitto",
            Self::Rabbitmq => "rabbitmq",
            Self::Nats => "nats",
        }
    }

    /// The file of its users among the operator's, which `birthcert broker users` writes.
    pub fn users(self) -> Option<&'static str> {
        match self {
            Self::Mosquitto(_) => None,
            Self::Rabbitmq => Some("users.json"),
            Self::Nats => Some("users.conf"),
        }
    }

    /// What the agent writes first into its directory: without it the broker would not start.
    pub fn first_file(self) -> &'static str {
        match self {
            Self::Mosquitto(_) => "acl",
            Self::Rabbitmq => "crls",
            Self::Nats => "devices.conf",
        }
    }

    /// Completes the configuration in the operator's `conf`, beside an agent's directory `revocation`.
    /// Returns the agent's options.
    ///
    /// # Errors
    /// The configuration is not there.
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

    /// Starts it, once the agent has written what it reads first.
    ///
    /// # Errors
    /// It does not start.
    pub async fn start(self, operator: &Operator, port: u16) -> anyhow::Result<Broker> {
        let conf = operator.path("conf");
        Ok(match self {
            Self::Mosquitto(version) => {
                hand_over(&operator.path("revocation")).await?;
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

    /// The path of its WebSockets.
    pub fn websocket_path(self) -> &'static str {
        match self {
            Self::Mosquitto(_) | Self::Nats => "/mqtt",
            Self::Rabbitmq => "/ws",
        }
    }
}

/// The agent's, at RabbitMQ.
const USER: &str = "agent";
const PASSWORD: &str = "a password: for tests";
