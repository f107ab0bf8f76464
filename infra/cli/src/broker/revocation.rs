//! Parts of the brokers' configurations for use with the agent.

use super::template::Template;

/// Adds CRLs to every listener, the agent's access list, and the process id file for its signals.
pub(super) fn mosquitto(text: Template, folder: &str) -> anyhow::Result<Template> {
    const REQUIRED: &str = "\nrequire_certificate true\n";
    text.replace(REQUIRED, &format!("{REQUIRED}crlfile {folder}/crl.pem\n"))?.replace(
        "\nacl_file acl\n",
        &format!(
            "\n# `birthcert broker sync` generates this list from `acl` and the denied devices, and signals \
             the\n# process in pid_file.\nacl_file {folder}/acl\npid_file {folder}/mosquitto.pid\n"
        ),
    )
}

/// Adds the management API, with which the agent closes connections.
pub(super) fn rabbitmq(text: Template) -> Template {
    Template(text.0 + include_str!("../../../brokers/rabbitmq/revocation.conf"))
}

/// Returns a TLS configuration with CRLs, for MQTT and, if enabled, WebSockets.
pub(super) fn rabbitmq_advanced(has_websockets: bool, folder: &str) -> anyhow::Result<Template> {
    let text = if has_websockets {
        include_str!("../../../brokers/rabbitmq/revocation-websockets.config")
    } else {
        include_str!("../../../brokers/rabbitmq/revocation.config")
    };
    Template(text.to_owned()).replace("/var/lib/birthcert/", &format!("{folder}/"))
}

pub(super) fn rabbitmq_plugins(text: String) -> anyhow::Result<String> {
    Ok(Template(text).replace("].", ",rabbitmq_management].")?.0)
}

/// Includes the agent's file, by a path relative to the configuration as nats-server requires. Adds a
/// monitoring port, from which the agent reads the result of a reload.
pub(super) fn nats(text: Template, output: &str, folder: &str) -> anyhow::Result<Template> {
    let up = "../".repeat(output.matches('/').count());
    let include = format!("include \"{}{}/devices.conf\"", up.trim_end_matches('/'), folder);
    let text = text.replace("include \"devices.conf\"", &include)?;
    Ok(Template(text.0 + include_str!("../../../brokers/nats/revocation.conf")))
}
