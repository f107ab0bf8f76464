//! `birthcert broker users`: for brokers that want each device as a user of theirs.

use std::{fmt, path::PathBuf};

use anyhow::Context as _;
use ledger::{OperatorError, store::DeviceStatus};
use pki::names::{DeviceId, Organization, ProjectId};
use serde::Serialize;
use serde_json::json;

use crate::{Context, output::Format};

pub(super) const EXAMPLES: &str = "\
Examples:
  birthcert broker users rabbitmq --file definitions.json
  birthcert broker users nats --file devices.conf";

#[derive(clap::Args)]
pub(crate) struct UsersCommand {
    /// Whose users.
    #[arg(value_enum)]
    broker: Broker,
    /// The project whose active devices they are.
    #[arg(long, env = "BIRTHCERT_PROJECT", required_unless_present = "devices")]
    project: Option<ProjectId>,
    /// A device, instead of a project's. Can be given several times.
    #[arg(long = "device", value_name = "DEVICE")]
    devices: Vec<DeviceId>,
    /// The organization in the subjects of those devices, for a broker that knows devices by the whole
    /// subject, as nats-server does. A project's own is known.
    #[arg(long, value_name = "NAME", requires = "devices")]
    organization: Option<Organization>,
    /// The file to write; what was in it is replaced, in one step.
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Broker {
    /// Definitions, for `rabbitmqctl import_definitions`.
    Rabbitmq,
    /// The file `devices.conf`, which nats-server includes and reads again at SIGHUP.
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
    pub(super) fn of_known_devices(self, output: Format) -> anyhow::Result<Option<Self>> {
        if self.devices.is_empty() {
            return Ok(Some(self));
        }
        self.write(&self.devices, self.organization.as_ref(), output)?;
        Ok(None)
    }

    pub(super) async fn run(self, context: &Context) -> anyhow::Result<()> {
        let project = self.project.context("--project or --device")?;
        let record = context.store.project(project).await?;
        let record = record.ok_or_else(|| OperatorError::Missing(format!("project {project}")))?;
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

/// A device reads and writes `devices/<id>/#`, which the plugin turns into routing keys
/// `devices.<id>.#`. It may declare the queues of its own client id alone: whoever connects by
/// another's client id would be given what waits for that device.
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

/// A device reads and writes `devices/<id>/#`, as subjects `devices.<id>.>`, by MQTT and nothing
/// else; `$MQTT.sub.>` is where the server delivers to its subscriptions with QoS 1. A user is a whole
/// subject: of a project with an organization, devices may still have certificates without it.
fn nats(devices: &[DeviceId], organization: Option<&Organization>) -> String {
    let mut text = String::from(
        "# The devices that may connect, made by `birthcert broker users nats`; read again at SIGHUP.\n\
         users = [\n\
         \x20 # Without any user, nats-server would let everybody in.\n\
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

/// A value of a name (RFC 4514, section 2.4), in a string of nats-server's.
fn escaped(value: &str) -> String {
    let mut text = String::new();
    for (place, letter) in value.char_indices() {
        if matches!(letter, ',' | '+' | '"' | '\\' | '<' | '>' | ';') || place == 0 && letter == '#'
        {
            text.push('\\');
        }
        text.push(letter);
    }
    text.replace('\\', r"\\").replace('"', r#"\""#)
}
