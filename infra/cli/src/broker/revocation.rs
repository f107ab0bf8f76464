//! What the agent of `broker sync` adds to the brokers' configurations.

use super::config::Template;

/// CRLs on every listener, the agent's access list, and the process id that it signals.
pub(super) fn mosquitto(text: Template, folder: &str) -> anyhow::Result<Template> {
    const REQUIRED: &str = "\nrequire_certificate true\n";
    text.replace(REQUIRED, &format!("{REQUIRED}crlfile {folder}/crl.pem\n"))?.replace(
        "\nacl_file acl\n",
        &format!(
            "\n# Made of `acl` and of the denied devices by `birthcert broker sync`, which is also who \
             signals\n# the process in pid_file.\nacl_file {folder}/acl\npid_file {folder}/mosquitto.pid\n"
        ),
    )
}

/// The management API, by which the agent closes connections.
pub(super) fn rabbitmq(text: Template) -> Template {
    Template(text.0 + include_str!("../../../rabbitmq/revocation.conf"))
}

/// TLS with CRLs, for MQTT, and for WebSockets if there are any.
pub(super) fn rabbitmq_advanced(has_websockets: bool, folder: &str) -> anyhow::Result<Template> {
    let text = if has_websockets {
        include_str!("../../../rabbitmq/revocation-websockets.config")
    } else {
        include_str!("../../../rabbitmq/revocation.config")
    };
    Template(text.to_owned()).replace("/var/lib/birthcert/", &format!("{folder}/"))
}

pub(super) fn rabbitmq_plugins(text: String) -> anyhow::Result<String> {
    Ok(Template(text).replace("].", ",rabbitmq_management].")?.0)
}

/// By a path from the configuration's folder on, as nats-server takes every path of an include. And a
/// port for monitoring, by which the agent sees what came of a reload.
pub(super) fn nats(text: Template, output: &str, folder: &str) -> anyhow::Result<Template> {
    let up = "../".repeat(output.matches('/').count());
    let include = format!("include \"{}{}/devices.conf\"", up.trim_end_matches('/'), folder);
    let text = text.replace("include \"devices.conf\"", &include)?;
    Ok(Template(text.0 + include_str!("../../../nats/revocation.conf")))
}
