//! The broker that the agent manages.

use std::{path::Path, time::Duration};

use pki::names::DeviceId;

use super::{
    desired_state::{BrokerFiles, DesiredState},
    hook::Hook,
    mosquitto::Mosquitto,
    nats::Nats,
    rabbitmq::{self, Rabbitmq},
};

pub(crate) enum Broker {
    Mosquitto(Mosquitto),
    Rabbitmq(Rabbitmq),
    Nats(Nats),
    Command(Hook),
}

impl Broker {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Mosquitto(_) => "mosquitto",
            Self::Rabbitmq(_) => "rabbitmq",
            Self::Nats(_) => "nats",
            Self::Command(_) => "command",
        }
    }

    /// Renders the files that the broker should read, without writing them.
    pub(crate) fn files(&self, desired: &DesiredState<'_>) -> BrokerFiles {
        match self {
            Self::Mosquitto(it) => it.files(desired),
            Self::Rabbitmq(it) => it.files(desired).into(),
            Self::Nats(it) => it.files(desired).into(),
            Self::Command(it) => it.files(desired).into(),
        }
    }

    /// Reloads the broker's files and ends the sessions of denied devices.
    ///
    /// This is idempotent: it is repeated until it succeeds.
    pub(crate) async fn apply(&mut self, denied: &[DeviceId]) -> anyhow::Result<()> {
        match self {
            Self::Mosquitto(it) => it.apply().await,
            Self::Rabbitmq(it) => it.apply(denied).await,
            Self::Nats(it) => it.apply().await,
            Self::Command(it) => it.apply().await,
        }
    }

    /// Returns the interval at which to apply the state again without a change, for brokers where a
    /// denied device may get a session in the meantime.
    pub(crate) fn reapply_interval(&self) -> Option<Duration> {
        match self {
            Self::Rabbitmq(_) => Some(rabbitmq::REAPPLY_INTERVAL),
            Self::Mosquitto(_) | Self::Nats(_) | Self::Command(_) => None,
        }
    }

    /// Returns the operator's file that the broker's files are derived from. It may change at any
    /// time.
    pub(crate) fn operator_file(&self) -> Option<&Path> {
        match self {
            Self::Mosquitto(it) => Some(it.operator_acl()),
            Self::Nats(it) => Some(it.operator_users()),
            Self::Rabbitmq(_) | Self::Command(_) => None,
        }
    }
}
