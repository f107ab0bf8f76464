//! What differs from broker to broker: which files it reads, how it is told to read them again, and how
//! it lets go of a device that is connected.

mod command;
mod issuer_hash;
mod monitoring;
mod mosquitto;
mod nats;
mod rabbitmq;
mod reload;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use pki::{authority::CaCertificate, crl::VerifiedCrl, names::DeviceId};
use sha2::{Digest as _, Sha256};

use crate::{directory::Directory, options::Options};

/// The broker beside which the agent is, and all that it is told.
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
    /// RabbitMQ with its MQTT and management plugins.
    #[command(after_help = rabbitmq::EXAMPLE)]
    Rabbitmq(rabbitmq::Arguments),
    /// NATS with its MQTT listener.
    #[command(after_help = nats::EXAMPLE)]
    Nats(nats::Arguments),
    /// Any other: runs a command of yours when something changed.
    #[command(after_help = command::EXAMPLE)]
    Command(command::Arguments),
}

/// What a broker should know.
pub(crate) struct Desired<'a> {
    /// The CRLs, one a CA, with the CAs' names.
    pub(crate) crls: &'a [(&'a str, &'a CaCertificate, &'a VerifiedCrl)],
    pub(crate) denied: &'a [DeviceId],
}

/// A file that the broker reads.
pub(crate) struct Output {
    pub(crate) path: PathBuf,
    pub(crate) content: Vec<u8>,
    /// SHA-256 of the content.
    pub(crate) digest: [u8; 32],
    /// The file whose owner and mode it gets.
    pub(crate) like: Option<PathBuf>,
}

impl Output {
    /// A file that everybody may read.
    pub(crate) fn new(path: PathBuf, content: Vec<u8>) -> Self {
        Self { digest: Sha256::digest(&content).into(), path, content, like: None }
    }

    pub(crate) fn like(self, file: &Path) -> Self {
        Self { like: Some(file.to_owned()), ..self }
    }
}

/// The files that a broker should read.
pub(crate) struct Outputs {
    pub(crate) files: Vec<Output>,
    /// Why these are not all. They do not wait for the others.
    pub(crate) lacking: Option<anyhow::Error>,
}

impl From<anyhow::Result<Vec<Output>>> for Outputs {
    fn from(outputs: anyhow::Result<Vec<Output>>) -> Self {
        match outputs {
            Ok(files) => Self { files, lacking: None },
            Err(error) => Self { files: Vec::new(), lacking: Some(error) },
        }
    }
}

/// What the agent does to a broker.
pub(crate) enum Broker {
    Mosquitto(mosquitto::Mosquitto),
    Rabbitmq(rabbitmq::Rabbitmq),
    Nats(nats::Nats),
    Command(command::Hook),
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

    pub(crate) fn broker(&self, directory: &Directory) -> anyhow::Result<Broker> {
        Ok(match &self.kind {
            Kind::Mosquitto(it) => Broker::Mosquitto(it.broker(directory)?),
            Kind::Rabbitmq(it) => Broker::Rabbitmq(it.broker(directory)?),
            Kind::Nats(it) => Broker::Nats(it.broker(directory)?),
            Kind::Command(it) => Broker::Command(it.broker(directory)),
        })
    }
}

impl Broker {
    /// The files that it should read. Nothing is done.
    pub(crate) fn outputs(&self, desired: &Desired<'_>) -> Outputs {
        match self {
            Self::Mosquitto(it) => it.outputs(desired),
            Self::Rabbitmq(it) => it.outputs(desired).into(),
            Self::Nats(it) => it.outputs(desired).into(),
            Self::Command(it) => it.outputs(desired).into(),
        }
    }

    /// Has it read its files, and ends the sessions of `denied` devices. Called again until it
    /// succeeds, and so may find all of it done.
    pub(crate) async fn enforce(&mut self, denied: &[DeviceId]) -> anyhow::Result<()> {
        match self {
            Self::Mosquitto(it) => it.enforce(denied).await,
            Self::Rabbitmq(it) => it.enforce(denied).await,
            Self::Nats(it) => it.enforce().await,
            Self::Command(it) => it.enforce().await,
        }
    }

    /// After what time all is enforced again although nothing changed: where a session may have come
    /// up that should not.
    pub(crate) fn again(&self) -> Option<Duration> {
        match self {
            Self::Rabbitmq(_) => Some(rabbitmq::AGAIN),
            Self::Mosquitto(_) | Self::Nats(_) | Self::Command(_) => None,
        }
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Mosquitto(_) => "mosquitto",
            Self::Rabbitmq(_) => "rabbitmq",
            Self::Nats(_) => "nats",
            Self::Command(_) => "command",
        }
    }

    /// The operator's own file of which an output is made: it may change at any time.
    pub(crate) fn made_of(&self) -> Option<&Path> {
        match self {
            Self::Mosquitto(it) => Some(it.rules()),
            Self::Nats(it) => Some(it.users()),
            Self::Rabbitmq(_) | Self::Command(_) => None,
        }
    }
}

/// All CRLs in one PEM file, in the order of the CAs' names.
fn bundle(desired: &Desired<'_>) -> anyhow::Result<Vec<u8>> {
    let mut text = String::new();
    for (_, _, crl) in desired.crls {
        text += &crl.pem()?;
    }
    Ok(text.into_bytes())
}
