//! The subcommands: one per kind of broker.

use super::{broker::Broker, hook, mosquitto, nats, rabbitmq};
use crate::{disk::DataDirectory, options::Options};

/// The agent's command line: the kind of broker, and its options.
#[derive(clap::Args)]
pub struct Command {
    #[command(subcommand)]
    kind: Kind,
}

#[derive(clap::Subcommand)]
enum Kind {
    /// Eclipse Mosquitto 2.0 and 2.1.
    #[command(after_help = mosquitto::EXAMPLE)]
    Mosquitto(mosquitto::Arguments),
    /// RabbitMQ with the MQTT and management plugins.
    #[command(after_help = rabbitmq::EXAMPLE)]
    Rabbitmq(rabbitmq::Arguments),
    /// NATS with the MQTT listener.
    #[command(after_help = nats::EXAMPLE)]
    Nats(nats::Arguments),
    /// Any other broker: runs your command after each change.
    #[command(after_help = hook::EXAMPLE)]
    Command(hook::Arguments),
}

impl Command {
    pub(crate) fn options(&self) -> &Options {
        match &self.kind {
            Kind::Mosquitto(it) => &it.options,
            Kind::Rabbitmq(it) => &it.options,
            Kind::Nats(it) => &it.options,
            Kind::Command(it) => &it.options,
        }
    }

    pub(crate) fn broker(&self, directory: &DataDirectory) -> anyhow::Result<Broker> {
        Ok(match &self.kind {
            Kind::Mosquitto(it) => Broker::Mosquitto(it.broker(directory)?),
            Kind::Rabbitmq(it) => Broker::Rabbitmq(it.broker(directory)?),
            Kind::Nats(it) => Broker::Nats(it.broker(directory)?),
            Kind::Command(it) => Broker::Command(it.broker(directory)),
        })
    }
}
