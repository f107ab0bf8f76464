//! A device's MQTT 3.1.1 in this process, for what is measured in milliseconds: nothing is started, and
//! only what the measurement needs is spoken.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::mqtt_session::Client;

/// A session. Dropping it ends the connection.
pub struct Raw {
    stream: TlsStream<TcpStream>,
}

/// What a device connects with, read once.
#[derive(Clone)]
pub struct Identity {
    connector: TlsConnector,
    id: String,
}

impl Identity {
    /// Reads a client's files.
    ///
    /// # Errors
    /// They are of no use.
    pub fn of(client: &Client) -> anyhow::Result<Self> {
        let (chain, key) = client.identity.as_ref().context("a device's")?;
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&client.cafile)?)?;
        let chain = CertificateDer::pem_file_iter(chain)?.collect::<Result<Vec<_>, _>>()?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, PrivateKeyDer::from_pem_file(key)?)?;
        let mut config = config;
        // A whole handshake each time, as of a device that was away for long.
        config.resumption = rustls::client::Resumption::disabled();
        Ok(Self { connector: TlsConnector::from(Arc::new(config)), id: client.id.clone() })
    }

    /// Connects to 127.0.0.1; none, if the broker refuses.
    ///
    /// # Errors
    /// Nobody listens there.
    pub async fn connect(&self, port: u16) -> anyhow::Result<Option<Raw>> {
        let tcp = TcpStream::connect(("127.0.0.1", port)).await?;
        tcp.set_nodelay(true)?;
        let name = ServerName::try_from("127.0.0.1")?;
        let Ok(stream) = self.connector.connect(name, tcp).await else { return Ok(None) };
        let mut raw = Raw { stream };
        // In TLS 1.3 a refusal comes after the client's end of the handshake.
        Ok(raw.open(&self.id).await.is_ok().then_some(raw))
    }
}

impl Raw {
    async fn open(&mut self, id: &str) -> anyhow::Result<()> {
        // Clean session, keep alive for a minute.
        let body = [&[0, 4], b"MQTT".as_slice(), &[4, 2, 0, 60], &string(id)].concat();
        self.send(0x10, &body).await?;
        let (kind, body) = self.read().await?;
        ensure!(kind == 0x20 && body.get(1) == Some(&0), "CONNACK {body:?}");
        Ok(())
    }

    /// Subscribes with QoS 0.
    ///
    /// # Errors
    /// The broker does not grant it.
    pub async fn subscribe(&mut self, topic: &str) -> anyhow::Result<()> {
        self.send(0x82, &[&[0, 1], string(topic).as_slice(), &[0]].concat()).await?;
        let (kind, body) = self.read().await?;
        ensure!(kind == 0x90 && body.last() == Some(&0), "SUBACK {body:?}");
        Ok(())
    }

    /// Publishes with QoS 0 to a topic that it subscribed to; whether it comes back within `limit`.
    ///
    /// # Errors
    /// Another message comes.
    pub async fn comes_back(
        &mut self,
        topic: &str,
        payload: &str,
        limit: Duration,
    ) -> anyhow::Result<bool> {
        let body = [string(topic).as_slice(), payload.as_bytes()].concat();
        if self.send(0x30, &body).await.is_err() {
            return Ok(false);
        }
        match timeout(limit, self.read()).await {
            Ok(Ok((0x30, back))) => {
                ensure!(back == body, "another message");
                Ok(true)
            }
            Ok(Ok((kind, _))) => bail!("a packet of the kind {kind:#x}"),
            Ok(Err(_)) | Err(_) => Ok(false),
        }
    }

    async fn send(&mut self, kind: u8, body: &[u8]) -> anyhow::Result<()> {
        ensure!(body.len() < 128, "the length is one octet here");
        let packet = [&[kind, body.len() as u8], body].concat();
        self.stream.write_all(&packet).await?;
        Ok(self.stream.flush().await?)
    }

    async fn read(&mut self) -> anyhow::Result<(u8, Vec<u8>)> {
        let mut head = [0; 2];
        self.stream.read_exact(&mut head).await?;
        ensure!(head[1] < 128, "the length is one octet here");
        let mut body = vec![0; head[1].into()];
        self.stream.read_exact(&mut body).await?;
        Ok((head[0], body))
    }
}

fn string(text: &str) -> Vec<u8> {
    [&(text.len() as u16).to_be_bytes(), text.as_bytes()].concat()
}
