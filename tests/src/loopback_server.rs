//! An HTTP server on loopback whose every response a test decides.

use std::error::Error;

use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// The server. Dropping it stops it.
#[derive(Debug)]
pub(crate) struct LoopbackServer {
    /// The base URL, without a slash at the end.
    pub(crate) url: String,
    accepting: JoinHandle<()>,
}

impl LoopbackServer {
    /// Starts a server on a free port of 127.0.0.1. An error of `answer` breaks the connection: hyper
    /// closes it without a response.
    ///
    /// # Errors
    /// If no port is free.
    pub(crate) async fn start<A, F, B>(answer: A) -> anyhow::Result<Self>
    where
        A: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
        F: Future<Output = anyhow::Result<Response<B>>> + Send + 'static,
        B: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let service = service_fn(answer.clone());
                let connection =
                    http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                tokio::spawn(async move {
                    // Some faults break the connection.
                    let _ = connection.await;
                });
            }
        });
        Ok(Self { url, accepting })
    }
}

impl Drop for LoopbackServer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}
