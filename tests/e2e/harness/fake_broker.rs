//! A TLS server that breaks off or stays silent where a broker would answer.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use birthcert_tests::mqtt::session::Client;
use birthcert_tests::pki::ca::{Ca, Leaf};
use pki::profile::{Profile, Role, Service, Usage};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// The server's treatment of each connection.
#[derive(Clone, Copy, Debug)]
pub(super) enum Behavior {
    /// Leaves it open, without a TLS handshake.
    Silent,
    /// Sends an alert, since it trusts no certificate.
    Alerts,
    /// Reads a first message, sends these octets, and leaves the connection open.
    Answers(&'static [u8]),
    /// As `Answers`, and then closes the connection.
    Closes(&'static [u8]),
    /// Reads a first message, and resets the connection.
    Resets,
}

/// The server. Dropping it stops it.
pub(super) struct FakeBroker {
    pub(super) port: u16,
    /// A client with a certificate, which trusts the server.
    pub(super) client: Client,
    /// A client that does not trust the server.
    pub(super) stranger: Client,
    _files: TempDir,
    accepting: JoinHandle<()>,
}

impl FakeBroker {
    pub(super) async fn start(behavior: Behavior) -> anyhow::Result<Self> {
        let (root, other) = (Ca::root("Root"), Ca::root("Other root"));
        let service = |role, name: &str, ips| anyhow::Ok(Service::new(role, name.parse()?, ips)?);
        let server =
            Profile::Service(service(Role::Server, "127.0.0.1", vec!["127.0.0.1".parse()?])?);
        let server = root.subordinate("Server CA", Usage::Server).issue(&server);
        let client = Profile::Service(service(Role::Client, "client.example.com", vec![])?);
        let leaf = root.subordinate("Service CA", Usage::Service).issue(&client);

        let files = TempDir::new()?;
        let path = |name: &str| files.path().join(name);
        fs::write(path("root.pem"), root.certificate.pem())?;
        fs::write(path("other.pem"), other.certificate.pem())?;
        fs::write(path("chain.pem"), &leaf.chain_pem)?;
        fs::write(path("key.pem"), &leaf.key_pem)?;
        let client = Client {
            id: "client".into(),
            clean_session: true,
            cafile: path("root.pem"),
            identity: Some((path("chain.pem"), path("key.pem"))),
            limit: Duration::from_secs(3),
        };
        let stranger = Client { cafile: path("other.pem"), ..client.clone() };

        let acceptor = acceptor(&server, matches!(behavior, Behavior::Alerts).then_some(&other))?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // Clients break off, too.
                let serve = serve(acceptor.clone(), stream, behavior);
                tokio::spawn(async move { drop(serve.await) });
            }
        });
        Ok(Self { port, client, stranger, _files: files, accepting })
    }
}

impl Drop for FakeBroker {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn serve(acceptor: TlsAcceptor, stream: TcpStream, behavior: Behavior) -> anyhow::Result<()> {
    let (answer, closes, resets) = match behavior {
        Behavior::Silent => {
            let _open = stream;
            return std::future::pending().await;
        }
        Behavior::Alerts => (&[][..], true, false),
        Behavior::Answers(answer) => (answer, false, false),
        Behavior::Closes(answer) => (answer, true, false),
        Behavior::Resets => (&[][..], false, true),
    };
    let mut stream = match acceptor.accept(stream).into_fallible().await {
        Ok(stream) => stream,
        Err((_, mut stream)) => {
            // Closing with unread octets would reset the connection, and the alert with it.
            stream.read_to_end(&mut Vec::new()).await?;
            return Ok(());
        }
    };
    // A handshake of WebSocket, or a CONNECT.
    let read = stream.read(&mut [0; 1024]).await?;
    ensure!(read > 0, "the client sent nothing");
    stream.write_all(answer).await?;
    stream.flush().await?;
    if resets {
        stream.get_ref().0.set_zero_linger()?;
    } else if closes {
        stream.shutdown().await?;
    } else {
        stream.read_to_end(&mut Vec::new()).await?;
    }
    Ok(())
}

/// Returns a server with this certificate that accepts clients of this CA, or any client.
fn acceptor(leaf: &Leaf, clients: Option<&Ca>) -> anyhow::Result<TlsAcceptor> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let chain = CertificateDer::pem_slice_iter(leaf.chain_pem.as_bytes());
    let chain = chain.collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_slice(leaf.key_pem.as_bytes())?;
    let config = ServerConfig::builder_with_provider(provider.clone());
    let config = config.with_safe_default_protocol_versions()?;
    let config = match clients {
        None => config.with_no_client_auth(),
        Some(ca) => {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_slice(ca.certificate.pem().as_bytes())?)?;
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            config.with_client_cert_verifier(verifier.build()?)
        }
    };
    Ok(TlsAcceptor::from(Arc::new(config.with_single_cert(chain, key)?)))
}
