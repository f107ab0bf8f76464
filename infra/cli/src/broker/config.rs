//! `birthcert broker config`: the tested configurations of `infra/`, with the addresses and files of one
//! broker.

use std::{
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};

use super::{
    aws_iot::AwsIotCommand,
    revocation,
    template::{GeneratedFile, Template, write},
};
use crate::{context::Context, help::with_examples, output::format::Format};

/// The help template of a broker's command, with options in addition to those of every broker.
macro_rules! example {
    ($broker:literal, $comment:literal, $more:literal) => {
        with_examples(concat!(
            "Example:\n  # ",
            $comment,
            "\n  birthcert broker config ",
            $broker,
            " --output-directory /etc/birthcert/conf \\\n      --directory /etc/birthcert/broker",
            $more
        ))
    };
}

/// The example of a broker that the agent supports.
macro_rules! example_with_agent {
    ($broker:literal) => {
        example!(
            $broker,
            "With an agent, which keeps revoked devices out",
            " --port 8883 --websocket-port 8884 \\\n      --revocation-directory /var/lib/birthcert"
        )
    };
}

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Write a configuration of Eclipse Mosquitto. Tested with 2.0.11 and 2.1.2.
    #[command(help_template = example_with_agent!("mosquitto"))]
    Mosquitto(Options),
    /// Write a configuration of RabbitMQ with its MQTT plugin. Tested with 3.10.8.
    #[command(help_template = example_with_agent!("rabbitmq"))]
    Rabbitmq(Options),
    /// Write a configuration of NATS with its MQTT listener. Tested with 2.9.10.
    #[command(help_template = example_with_agent!("nats"))]
    Nats(Options),
    /// Write a configuration of EMQX 5. Not tested.
    #[command(help_template = example!("emqx", "With WebSockets", " --port 8883 --websocket-port 8884"))]
    Emqx(Options),
    /// Write a configuration of HiveMQ 4. Not tested; requires the Enterprise Security Extension.
    #[command(help_template = example!("hivemq", "Without WebSockets, which are not supported", " --port 8883"))]
    Hivemq(Options),
    /// Write files that register the device CA with AWS IoT Core.
    AwsIot(AwsIotCommand),
}

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Directory to write the configuration to. Existing files are never overwritten.
    #[arg(long, value_name = "DIR")]
    output_directory: PathBuf,
    /// Directory of the broker's certificate, as given to `broker issue`. The default is the path in the
    /// configuration.
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
    /// Address to listen on. The default is all addresses.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<IpAddr>,
    /// Port of MQTT over TLS.
    #[arg(long, default_value_t = 8883)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
    /// Port of MQTT over secure WebSockets, such as 8884. The default is no WebSocket listener.
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    websocket_port: Option<u16>,
    /// Directory of the agent (`broker sync`). The broker reads the CRLs and the denied devices from
    /// there, and starts only if these files exist.
    #[arg(long, value_name = "DIR")]
    revocation_directory: Option<PathBuf>,
}

impl Command {
    /// Runs a command that needs no AWS; returns any other command.
    pub(super) fn run_offline(self, output: Format) -> anyhow::Result<Option<Self>> {
        let (options, files) = match &self {
            Self::Mosquitto(options) => (options, options.mosquitto()?),
            Self::Rabbitmq(options) => (options, options.rabbitmq()?),
            Self::Nats(options) => (options, options.nats()?),
            Self::Emqx(options) => (options, options.emqx()?),
            Self::Hivemq(options) => (options, options.hivemq()?),
            Self::AwsIot(_) => return Ok(Some(self)),
        };
        write(&options.output_directory, files, output)?;
        Ok(None)
    }

    pub(super) async fn run(self, context: &Context) -> anyhow::Result<()> {
        match self {
            Self::AwsIot(command) => command.run(context).await,
            // Runs offline.
            _ => Ok(()),
        }
    }
}

const FILES: [&str; 3] = ["broker-chain.pem", "broker-key.pem", "root.pem"];

impl Options {
    fn mosquitto(&self) -> anyhow::Result<Vec<GeneratedFile>> {
        let mut text = include_str!("../../../brokers/mosquitto/mosquitto.conf").to_owned();
        if self.websocket_port.is_some() {
            text += include_str!("../../../brokers/mosquitto/websockets.conf");
        }
        let mut text = Template(text);
        let address = self.listen.map(|address| format!(" {address}")).unwrap_or_default();
        text =
            text.replace("\nlistener 8883\n", &format!("\nlistener {}{address}\n", self.port))?;
        if let Some(port) = self.websocket_port {
            text = text.replace("\nlistener 8884\n", &format!("\nlistener {port}{address}\n"))?;
        }
        if let Some(folder) = self.certificates()? {
            text = text
                .replace("\ncertfile ", &format!("\ncertfile {folder}/"))?
                .replace("\nkeyfile ", &format!("\nkeyfile {folder}/"))?
                .replace("\ncafile ", &format!("\ncafile {folder}/"))?;
        }
        if let Some(folder) = self.revocation()? {
            text = revocation::mosquitto(text, &folder)?;
        } else if self.directory.is_some() {
            let acl = plain(&self.output_directory)?;
            text = text.replace("\nacl_file ", &format!("\nacl_file {acl}/"))?;
        }
        Ok(vec![
            GeneratedFile::new("mosquitto.conf", text.0),
            GeneratedFile::new("acl", include_str!("../../../brokers/mosquitto/acl")),
        ])
    }

    fn rabbitmq(&self) -> anyhow::Result<Vec<GeneratedFile>> {
        const HOME: &str = "/etc/rabbitmq/birthcert/";
        let mut text = include_str!("../../../brokers/rabbitmq/rabbitmq.conf").to_owned();
        if self.websocket_port.is_some() {
            text += include_str!("../../../brokers/rabbitmq/websockets.conf");
        }
        let text = Template(text).replace("0.0.0.0:8883", &self.address(self.port))?;
        let (mut text, mut advanced) = (self.at(text, HOME)?, None);
        let mut plugins = include_str!("../../../brokers/rabbitmq/enabled_plugins").to_owned();
        if self.websocket_port.is_some() {
            advanced = Some(Template(
                include_str!("../../../brokers/rabbitmq/advanced.config").to_owned(),
            ));
            plugins =
                include_str!("../../../brokers/rabbitmq/enabled_plugins_websockets").to_owned();
        }
        if let Some(folder) = self.revocation()? {
            text = revocation::rabbitmq(text);
            advanced = Some(revocation::rabbitmq_advanced(advanced.is_some(), &folder)?);
            plugins = revocation::rabbitmq_plugins(plugins)?;
        }
        if let Some(port) = self.websocket_port {
            let (ip, port) =
                (format!("{{ip, \"{}\"}}", self.listen_address()), format!("{{port, {port}}}"));
            let address =
                |it: Template| it.replace("{ip, \"0.0.0.0\"}", &ip)?.replace("{port, 8884}", &port);
            advanced = advanced.map(address).transpose()?;
        }
        let mut files = vec![GeneratedFile::new("rabbitmq.conf", text.0)];
        if let Some(advanced) = advanced {
            files.push(GeneratedFile::new("advanced.config", self.at(advanced, HOME)?.0));
        }
        files.push(GeneratedFile::new("enabled_plugins", plugins));
        Ok(files)
    }

    fn nats(&self) -> anyhow::Result<Vec<GeneratedFile>> {
        let text = include_str!("../../../brokers/nats/nats-server.conf");
        let text =
            self.with_websockets(text, include_str!("../../../brokers/nats/websockets.conf"))?;
        let text = match self.certificates()? {
            // `ca_file: "root.pem"` and the other two; the comment names them without quotes.
            Some(folder) => FILES.iter().try_fold(text, |text, file| {
                text.replace(&format!("\"{file}\""), &format!("\"{folder}/{file}\""))
            })?,
            None => text,
        };
        let text = match self.revocation()? {
            Some(folder) => revocation::nats(text, &plain(&self.output_directory)?, &folder)?,
            None => text,
        };
        Ok(vec![GeneratedFile::new("nats-server.conf", text.0)])
    }

    fn emqx(&self) -> anyhow::Result<Vec<GeneratedFile>> {
        self.expect_no_revocation()?;
        let text = include_str!("../../../brokers/emqx/emqx.conf");
        let text =
            self.with_websockets(text, include_str!("../../../brokers/emqx/websockets.conf"))?;
        Ok(vec![
            GeneratedFile::new("emqx.conf", self.at(text, "/etc/emqx/birthcert/")?.0),
            GeneratedFile::new("acl.conf", include_str!("../../../brokers/emqx/acl.conf")),
        ])
    }

    fn hivemq(&self) -> anyhow::Result<Vec<GeneratedFile>> {
        self.expect_no_revocation()?;
        ensure!(self.websocket_port.is_none(), "--websocket-port is not supported for HiveMQ");
        let text = Template(include_str!("../../../brokers/hivemq/config.xml").to_owned())
            .replace("<port>8883</port>", &format!("<port>{}</port>", self.port))?
            .replace(">0.0.0.0<", &format!(">{}<", self.listen_address()))?;
        Ok(vec![GeneratedFile::new("config.xml", self.at(text, "/opt/hivemq/birthcert/")?.0)])
    }

    fn with_websockets(&self, text: &str, websockets: &str) -> anyhow::Result<Template> {
        let text = Template(text.to_owned()).replace("0.0.0.0:8883", &self.address(self.port))?;
        match self.websocket_port {
            Some(port) => Template(format!("{}{websockets}", text.0))
                .replace("0.0.0.0:8884", &self.address(port)),
            None => Ok(text),
        }
    }

    fn at(&self, text: Template, home: &str) -> anyhow::Result<Template> {
        match self.certificates()? {
            Some(folder) => text.replace(home, &format!("{folder}/")),
            None => Ok(text),
        }
    }

    fn revocation(&self) -> anyhow::Result<Option<String>> {
        self.revocation_directory.as_deref().map(plain).transpose()
    }

    fn expect_no_revocation(&self) -> anyhow::Result<()> {
        let is_none = self.revocation_directory.is_none();
        ensure!(is_none, "--revocation-directory is not supported for this broker");
        Ok(())
    }

    fn certificates(&self) -> anyhow::Result<Option<String>> {
        self.directory.as_deref().map(plain).transpose()
    }

    fn listen_address(&self) -> IpAddr {
        self.listen.unwrap_or(Ipv4Addr::UNSPECIFIED.into())
    }

    fn address(&self, port: u16) -> String {
        std::net::SocketAddr::new(self.listen_address(), port).to_string()
    }
}

/// Returns an absolute path, in characters without a special meaning in any broker's configuration.
fn plain(path: &Path) -> anyhow::Result<String> {
    let path = std::path::absolute(path)?;
    let text = path.to_str().filter(|text| {
        text.chars()
            .all(|it| it.is_alphanumeric() || matches!(it, '/' | '.' | '-' | '_' | '@' | '+'))
    });
    let text = text.with_context(|| {
        format!(
            "{} contains characters with a special meaning in configurations: use only letters, digits and \
             / . - _ @ +",
            path.display()
        )
    })?;
    Ok(text.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(directory: Option<&str>, websocket_port: Option<u16>) -> Options {
        Options {
            output_directory: "/conf".into(),
            directory: directory.map(Into::into),
            listen: None,
            port: 8883,
            websocket_port,
            revocation_directory: None,
        }
    }

    fn all(options: &Options) -> Vec<Vec<GeneratedFile>> {
        vec![
            options.mosquitto().unwrap(),
            options.rabbitmq().unwrap(),
            options.nats().unwrap(),
            options.emqx().unwrap(),
        ]
    }

    #[test]
    fn without_options_it_is_the_file_as_it_stands() {
        let brokers = concat!(env!("CARGO_MANIFEST_DIR"), "/../brokers");
        let folders = ["mosquitto", "rabbitmq", "nats", "emqx", "hivemq"];
        let options = options(None, None);
        let mut generated = all(&options);
        generated.push(options.hivemq().unwrap());
        for (folder, files) in folders.into_iter().zip(generated) {
            for file in files {
                let path = format!("{brokers}/{folder}/{}", file.name);
                assert_eq!(std::fs::read_to_string(&path).unwrap(), file.text, "{path}");
            }
        }
    }

    #[test]
    fn every_file_and_address_is_replaced() {
        let options = Options {
            listen: Some("::1".parse().unwrap()),
            port: 1234,
            ..options(Some("/certificates"), Some(5678))
        };
        for files in all(&options) {
            let text: String = files.iter().map(|file| file.text.as_str()).collect();
            for file in FILES {
                // Outside of comments, and there are two listeners.
                let lines = text.lines().filter(|line| !line.trim_start().starts_with(['#', '%']));
                let named: Vec<_> = lines.filter(|line| line.contains(file)).collect();
                assert!(named.len() >= 2, "{file}: {text}");
                let path = format!("/certificates/{file}");
                assert!(named.iter().all(|line| line.contains(&path)), "{named:?}");
            }
            assert!(text.contains("1234") && text.contains("5678") && text.contains("::1"));
            assert!(!text.contains("0.0.0.0") && !text.contains("8883") && !text.contains("8884"));
        }
    }

    #[test]
    fn with_an_agent_every_listener_checks_crls() {
        let options = Options {
            revocation_directory: Some("/revoked".into()),
            ..options(Some("/certificates"), Some(5678))
        };
        for (files, line, times) in [
            (options.mosquitto().unwrap(), "\ncrlfile /revoked/crl.pem\n", 2),
            (options.mosquitto().unwrap(), "\nacl_file /revoked/acl\n", 1),
            (options.rabbitmq().unwrap(), "{dir, \"/revoked/crls\"}", 2),
            (options.nats().unwrap(), "include \"../revoked/devices.conf\"", 1),
            (options.nats().unwrap(), "\nhttp: \"127.0.0.1:8222\"\n", 1),
        ] {
            let text: String = files.iter().map(|file| file.text.as_str()).collect();
            assert_eq!(text.matches(line).count(), times, "{line} in {text}");
        }
        assert!(options.emqx().is_err() && options.hivemq().is_err());
        let alone = Options { websocket_port: None, ..options };
        let files = alone.rabbitmq().unwrap();
        assert!(files.iter().any(|it| it.name == "advanced.config"), "without WebSockets, too");
    }

    #[test]
    fn refuses_paths_that_a_configuration_reads_otherwise() {
        for path in ["/a b", "/a\"b", "/a\nb", "/a#b", "/a{b}"] {
            assert!(plain(Path::new(path)).is_err(), "{path}");
        }
        assert_eq!(plain(Path::new("/a/b.c-d/")).unwrap(), "/a/b.c-d");
    }
}
