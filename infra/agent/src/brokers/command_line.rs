//! The subcommands: one per kind of broker.

use super::{broker::Broker, hook, mosquitto, nats, rabbitmq};
use crate::{disk::DataDirectory, help::with_examples, options::Options};

/// The agent's command line: the kind of broker, and its options.
#[derive(clap::Args)]
pub struct Command {
    #[command(subcommand)]
    kind: Kind,
}

#[derive(clap::Subcommand)]
enum Kind {
    /// Run the agent beside Eclipse Mosquitto 2.0 or 2.1.
    #[command(help_template = with_examples(mosquitto::EXAMPLE), after_help = mosquitto::NOTES)]
    Mosquitto(mosquitto::Arguments),
    /// Run the agent beside RabbitMQ with the MQTT and management plugins.
    #[command(help_template = with_examples(rabbitmq::EXAMPLE), after_help = rabbitmq::NOTES)]
    Rabbitmq(rabbitmq::Arguments),
    /// Run the agent beside NATS with the MQTT listener.
    #[command(help_template = with_examples(nats::EXAMPLE), after_help = nats::NOTES)]
    Nats(nats::Arguments),
    /// Run the agent beside any other broker, with a command to run after each change.
    #[command(help_template = with_examples(hook::EXAMPLE))]
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
