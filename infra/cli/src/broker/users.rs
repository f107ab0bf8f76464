//! `birthcert broker users`: for brokers that require one user for each device.

use std::{fmt, path::PathBuf};

use anyhow::Context as _;
use ledger::store::DeviceStatus;
use pki::names::{DeviceId, Organization, ProjectId};
use serde::Serialize;
use serde_json::json;

use crate::{context::Context, output::format::Format};

pub(super) const EXAMPLES: &str = "\
Examples:
  birthcert broker users rabbitmq --file definitions.json
  birthcert broker users nats --file devices.conf";

#[derive(clap::Args)]
pub(crate) struct UsersCommand {
    /// Broker to write the users for.
    #[arg(value_enum)]
    broker: Broker,
    /// Project whose active devices become users.
    #[arg(long, env = "BIRTHCERT_PROJECT", hide_env_values = true)]
    #[arg(required_unless_present = "devices")]
    project: Option<ProjectId>,
    /// Device that becomes a user, instead of a project's devices. Repeat for several. Works offline.
    #[arg(long = "device", value_name = "DEVICE")]
    devices: Vec<DeviceId>,
    /// Organization in the subjects of the given devices, for a broker that identifies devices by the
    /// whole subject, such as nats-server. With --project, the project's organization is used.
    #[arg(long, value_name = "NAME", requires = "devices")]
    organization: Option<Organization>,
    /// File to write. An existing file is replaced atomically.
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Broker {
    /// Definitions for `rabbitmqctl import_definitions`.
    Rabbitmq,
    /// The file `devices.conf`, which nats-server includes and reloads on SIGHUP.
    Nats,
}

#[derive(Serialize)]
struct Written {
    file: PathBuf,
    devices: usize,
}

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, devices } = self;
        let noun = if *devices == 1 { "device" } else { "devices" };
        write!(f, "{devices} {noun}: {}", file.display())
    }
}

impl UsersCommand {
    /// Writes the devices given on the command line, without AWS; returns any other command.
    pub(super) fn write_given_devices(self, output: Format) -> anyhow::Result<Option<Self>> {
        if self.devices.is_empty() {
            return Ok(Some(self));
        }
        self.write(&self.devices, self.organization.as_ref(), output)?;
        Ok(None)
    }

    pub(super) async fn run(self, context: &Context) -> anyhow::Result<()> {
        let project = self.project.context("give --project or --device")?;
        let record = context.project(project).await?;
        let devices = context.store.devices(project, None).await?;
        let active = devices.iter().filter(|device| device.status == DeviceStatus::Active);
        let active: Vec<_> = active.map(|device| device.device_id).collect();
        self.write(&active, record.policy.terms().organization.as_ref(), context.output)
    }

    fn write(
        &self,
        devices: &[DeviceId],
        organization: Option<&Organization>,
        output: Format,
    ) -> anyhow::Result<()> {
        let text = match self.broker {
            Broker::Rabbitmq => rabbitmq(devices)?,
            Broker::Nats => nats(devices, organization),
        };
        birthcert_agent::replace(&self.file, text.as_bytes(), None)?;
        output.print(&Written { file: self.file.clone(), devices: devices.len() })
    }
}

/// Returns definitions for RabbitMQ. A device reads and writes `devices/<id>/#`, which the plugin turns into
/// routing keys `devices.<id>.#`. It may declare only the queues of its own client id: with another device's
/// client id, it would receive that device's messages.
fn rabbitmq(devices: &[DeviceId]) -> anyhow::Result<String> {
    let each = |make: fn(String) -> serde_json::Value| {
        devices.iter().map(|id| make(id.to_string())).collect::<Vec<_>>()
    };
    let definitions = json!({
        // An empty hash matches no password.
        "users": each(|id| json!({
            "name": id, "password_hash": "", "tags": [],
            "hashing_algorithm": "rabbit_password_hashing_sha256",
        })),
        "permissions": each(|id| {
            let queues = format!("mqtt-subscription-{id}qos[01]");
            let and_exchange = format!("^({queues}|amq\\.topic)$");
            json!({
                "user": id, "vhost": "/", "configure": format!("^{queues}$"),
                "write": and_exchange, "read": and_exchange,
            })
        }),
        "topic_permissions": each(|id| {
            let topics = "^devices\\.{username}(\\..*)?$";
            json!({
                "user": id, "vhost": "/", "exchange": "amq.topic", "write": topics, "read": topics,
            })
        }),
    });
    Ok(format!("{}\n", serde_json::to_string_pretty(&definitions)?))
}

/// Returns users for nats-server. A device reads and writes `devices/<id>/#`, as subjects `devices.<id>.>`, by
/// MQTT only. The server delivers messages with QoS 1 to `$MQTT.sub.>`. A user is a whole subject: devices of
/// a project with an organization may still have certificates without it.
fn nats(devices: &[DeviceId], organization: Option<&Organization>) -> String {
    let mut text = String::from(
        "# Devices that may connect. Written by `birthcert broker users nats`; reloaded on SIGHUP.\n\
         users = [\n\
         \x20 # Without a user, nats-server would accept every client.\n\
         \x20 { user: \"CN=nobody\", permissions: { publish: { deny: \">\" }, subscribe: { deny: \">\" } } }\n",
    );
    let with = organization.map(|it| format!(",O={}", escaped(it.as_str())));
    let subjects: Vec<_> = [Some(String::new()), with].into_iter().flatten().collect();
    for (id, rest) in devices.iter().flat_map(|id| subjects.iter().map(move |rest| (id, rest))) {
        text += &format!(
            "  {{ user: \"CN={id}{rest}\", allowed_connection_types: [\"MQTT\", \"MQTT_WS\"], permissions: {{\n    \
             publish: {{ allow: [\"devices.{id}\", \"devices.{id}.>\"] }},\n    \
             subscribe: {{ allow: [\"devices.{id}\", \"devices.{id}.>\", \"$MQTT.sub.>\"] }} }} }}\n"
        );
    }
    text + "]\n"
}

/// Escapes a value of a distinguished name (RFC 4514, section 2.4), in a string of nats-server.
fn escaped(value: &str) -> String {
    let mut text = String::new();
    for (index, letter) in value.char_indices() {
        if matches!(letter, ',' | '+' | '"' | '\\' | '<' | '>' | ';') || index == 0 && letter == '#'
        {
            text.push('\\');
        }
        text.push(letter);
    }
    text.replace('\\', r"\\").replace('"', r#"\""#)
}
