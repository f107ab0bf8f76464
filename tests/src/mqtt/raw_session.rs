//! A minimal MQTT 3.1.1 client in this process, over TCP or WebSocket, for measurements in
//! milliseconds.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use futures_util::{SinkExt as _, StreamExt as _};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::{Message, client::IntoClientRequest as _};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::mqtt::session::{Client, Endpoint};
use crate::mqtt::session_end::{Heard, SessionEnd};

/// A session. Dropping it ends the connection.
pub struct RawSession {
    transport: Transport,
    /// Octets that do not form a whole packet yet.
    read: Vec<u8>,
}

enum Transport {
    Tcp(Box<TlsStream<TcpStream>>),
    WebSocket(Box<WebSocketStream<TlsStream<TcpStream>>>),
}

/// A device's certificate, key and trust anchors, read once.
#[derive(Clone)]
pub struct TlsIdentity {
    connector: TlsConnector,
    id: String,
    limit: Duration,
}

impl TlsIdentity {
    /// Reads a client's files.
    ///
    /// # Errors
    /// If the files are not valid.
    pub fn of(client: &Client) -> anyhow::Result<Self> {
        let (chain, key) = client.identity.as_ref().context("a device has a certificate")?;
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&client.cafile)?)?;
        let chain = CertificateDer::pem_file_iter(chain)?.collect::<Result<Vec<_>, _>>()?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, PrivateKeyDer::from_pem_file(key)?)?;
        let mut config = config;
        // A full handshake each time, as for a device that was away for long.
        config.resumption = rustls::client::Resumption::disabled();
        let connector = TlsConnector::from(Arc::new(config));
        Ok(Self { connector, id: client.id.clone(), limit: client.limit })
    }

    /// Connects to 127.0.0.1; the inner error is the broker's refusal.
    ///
    /// # Errors
    /// If the broker neither lets the client in nor refuses it: nothing listens there, nothing is
    /// answered in time, or the client rejects the broker's certificate.
    pub async fn connect(
        &self,
        endpoint: Endpoint,
    ) -> anyhow::Result<Result<RawSession, SessionEnd>> {
        let (Endpoint::Tcp(port) | Endpoint::WebSocket(port, _)) = endpoint;
        let tcp = TcpStream::connect(("127.0.0.1", port)).await?;
        tcp.set_nodelay(true)?;
        let name = ServerName::try_from("127.0.0.1")?;
        // In TLS 1.3 a refusal arrives after the client's side of the handshake.
        let opened = async {
            let stream = self.connector.connect(name, tcp).await?;
            let transport = match endpoint {
                Endpoint::Tcp(_) => Transport::Tcp(Box::new(stream)),
                Endpoint::WebSocket(_, path) => Transport::upgrade(stream, port, path).await?,
            };
            let mut raw = RawSession { transport, read: Vec::new() };
            raw.open(&self.id).await?;
            anyhow::Ok(raw)
        };
        match timeout(self.limit, opened).await.context("the broker does not answer")? {
            Ok(session) => Ok(Ok(session)),
            Err(error) => SessionEnd::by_broker(error).map(Err),
        }
    }
}

impl Transport {
    /// Upgrades to a WebSocket: MQTT 3.1.1, section 6.
    async fn upgrade(stream: TlsStream<TcpStream>, port: u16, path: &str) -> anyhow::Result<Self> {
        let mut request = format!("wss://127.0.0.1:{port}{path}").into_client_request()?;
        request.headers_mut().insert("sec-websocket-protocol", "mqtt".parse()?);
        let (stream, _) = client_async(request, stream).await?;
        Ok(Self::WebSocket(Box::new(stream)))
    }

    async fn write(&mut self, packet: Vec<u8>) -> anyhow::Result<()> {
        match self {
            Self::Tcp(stream) => {
                stream.write_all(&packet).await?;
                stream.flush().await?;
            }
            Self::WebSocket(stream) => stream.send(Message::binary(packet)).await?,
        }
        Ok(())
    }

    /// Appends the next octets to `read`.
    async fn read(&mut self, read: &mut Vec<u8>) -> anyhow::Result<()> {
        match self {
            Self::Tcp(stream) => {
                ensure!(stream.read_buf(read).await? > 0, SessionEnd::Closed)
            }
            Self::WebSocket(stream) => match stream.next().await.context(SessionEnd::Closed)?? {
                Message::Binary(octets) => read.extend_from_slice(&octets),
                Message::Close(_) => bail!(SessionEnd::Closed),
                _ => {}
            },
        }
        Ok(())
    }
}

impl RawSession {
    async fn open(&mut self, id: &str) -> anyhow::Result<()> {
        // Clean session, without keep-alive.
        let body = [&[0, 4], b"MQTT".as_slice(), &[4, 2, 0, 0], &string(id)].concat();
        self.send(0x10, &body).await?;
        let (kind, body) = self.read().await?;
        match (kind, body.as_slice()) {
            (0x20, [_, 0]) => Ok(()),
            (0x20, [_, code]) => bail!(SessionEnd::Connack(code.to_string())),
            _ => bail!("no CONNACK but {kind:#x} {body:?}"),
        }
    }

    /// Subscribes with QoS 0.
    ///
    /// # Errors
    /// If the broker does not grant it.
    pub async fn subscribe(&mut self, topic: &str) -> anyhow::Result<()> {
        self.send(0x82, &[&[0, 1], string(topic).as_slice(), &[0]].concat()).await?;
        let (kind, body) = self.read().await?;
        ensure!(kind == 0x90 && body.last() == Some(&0), "SUBACK {body:?}");
        Ok(())
    }

    /// Publishes with QoS 0 to a subscribed topic, and waits for the message to come back.
    ///
    /// # Errors
    /// If another packet arrives, or the client fails.
    pub async fn echo(
        &mut self,
        topic: &str,
        payload: &str,
        limit: Duration,
    ) -> anyhow::Result<Heard> {
        let body = [string(topic).as_slice(), payload.as_bytes()].concat();
        let exchange = async {
            self.send(0x30, &body).await?;
            self.read().await
        };
        match timeout(limit, exchange).await {
            Ok(Ok((0x30, back))) => {
                ensure!(back == body, "another message: {:?}", String::from_utf8_lossy(&back));
                Ok(Heard::Message(payload.to_owned()))
            }
            Ok(Ok((kind, _))) => bail!("a packet of the kind {kind:#x}"),
            Ok(Err(error)) => SessionEnd::by_broker(error).map(Heard::Ended),
            Err(_) => Ok(Heard::Silence),
        }
    }

    async fn send(&mut self, kind: u8, body: &[u8]) -> anyhow::Result<()> {
        ensure!(body.len() < 128, "only lengths of one octet are supported");
        self.transport.write([&[kind, body.len() as u8], body].concat()).await
    }

    async fn read(&mut self) -> anyhow::Result<(u8, Vec<u8>)> {
        loop {
            if let [kind, length, rest @ ..] = self.read.as_slice() {
                ensure!(*length < 128, "only lengths of one octet are supported");
                if let Some(body) = rest.get(..usize::from(*length)) {
                    let packet = (*kind, body.to_vec());
                    self.read.drain(..body.len() + 2);
                    return Ok(packet);
                }
            }
            self.transport.read(&mut self.read).await?;
        }
    }
}

fn string(text: &str) -> Vec<u8> {
    [&(text.len() as u16).to_be_bytes(), text.as_bytes()].concat()
}
