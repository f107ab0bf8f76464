//! A whole stack on this machine, and beside it mosquitto with its agent: from the operator's command to
//! the device that is out.

use std::fs;

use crate::agent::{Agent, Beside, option};
use crate::mosquitto::{Mosquitto, hand_over};
use crate::mqtt_session::Client;
use crate::operator::Operator;
use crate::process::free_port;
use crate::stack::Stack;

/// The stack, its operator, and the broker.
pub struct GuardedStack {
    /// The stack, which publishes.
    pub stack: Stack,
    /// Who revokes.
    pub operator: Operator,
    /// Where the broker speaks MQTT.
    pub port: u16,
    /// Where the device's files are, and the stack's.
    scratch: tempfile::TempDir,
    _broker: Mosquitto,
}

impl GuardedStack {
    /// Starts all of it, with this pause between the agent's questions.
    ///
    /// # Errors
    /// Something does not start.
    pub async fn start(interval: &str) -> anyhow::Result<(Self, Agent)> {
        let scratch = tempfile::TempDir::new()?;
        let stack = Stack::start(&scratch.path().join("stack")).await?;
        let operator = Operator::of(&stack)?;
        operator.done("broker issue --dns localhost --ip 127.0.0.1 --directory broker").await?;
        let port = free_port()?;
        let configure = format!(
            "broker config mosquitto --output-directory conf --directory broker \
             --listen 127.0.0.1 --port {port} --revocation-directory revocation"
        );
        operator.done(&configure).await?;
        let directory = operator.path("revocation");
        fs::create_dir(&directory)?;
        let options = [
            ["--source".into(), stack.state.api_url.clone()],
            option("--root", &operator.path("broker/root.pem")),
            option("--directory", &directory),
            ["--interval".into(), interval.into()],
            option("--acl", &operator.path("conf/acl")),
            option("--pid-file", &directory.join("mosquitto.pid")),
        ];
        let arguments = ["mosquitto".to_owned()].into_iter().chain(options.into_iter().flatten());
        let beside = Beside {
            arguments: arguments.collect(),
            log: operator.path("agent.log"),
            before: String::new(),
            directory,
        };
        let mut agent = beside.start()?;
        agent.until(|_| beside.directory.join("acl").exists()).await?;
        hand_over(&beside.directory).await?;
        let (conf, certificates) = (operator.path("conf"), operator.path("broker"));
        let broker = Mosquitto::start_configured(&conf, &certificates, port).await?;
        agent.until(|status| status["applied"] == true && status["level"] == "ok").await?;
        Ok((Self { stack, operator, port, scratch, _broker: broker }, agent))
    }

    /// A device that has its identity.
    ///
    /// # Errors
    /// The stack refuses it.
    pub async fn device(&self) -> anyhow::Result<Client> {
        let (enrolled, identity) = self.stack.new_device().await?;
        let id = enrolled.device_id.to_string();
        let path = |name: &str| self.scratch.path().join(format!("{id}{name}"));
        let files = (path(".pem"), path("-key.pem"));
        fs::write(&files.0, &identity.certificate_chain_pem)?;
        fs::write(&files.1, &identity.device_private_key_pem)?;
        let cafile = self.operator.path("broker/root.pem");
        Ok(Client { id, clean_session: true, cafile, identity: Some(files) })
    }
}
