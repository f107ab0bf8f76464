//! The HTTP server for `/health`, `/status` and `/metrics`.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context as _;
use http::{
    Method, Request, Response, StatusCode,
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE},
};
use http_body_util::Full;
use hyper::{
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;

use super::{
    metrics,
    status::{Level, Status},
};
use crate::log;

/// Limit for a request's headers, and for the pause between two requests on a connection.
const HEADER_LIMIT: Duration = Duration::from_secs(10);

/// Shares the current status with its HTTP connections; `None` before the first report.
#[derive(Clone, Default)]
pub(crate) struct StatusServer(Arc<Mutex<Option<Arc<Status>>>>);

impl StatusServer {
    pub(crate) fn publish(&self, status: Status) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(status));
    }

    fn current(&self) -> Option<Arc<Status>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Starts serving on an address, in the background.
    pub(crate) async fn serve(&self, address: SocketAddr) -> anyhow::Result<()> {
        let listener = TcpListener::bind(address).await;
        let listener = listener.with_context(|| format!("cannot listen on {address}"))?;
        log::info(format_args!("status on http://{}/status", listener.local_addr()?));
        let server = self.clone();
        tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else {
                    // Errors such as too many open files persist, so do not retry immediately.
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    continue;
                };
                let server = server.clone();
                let response = service_fn(move |request: Request<Incoming>| {
                    let response = respond(&server, request.method(), request.uri().path());
                    async { Ok::<_, Infallible>(response) }
                });
                let connection = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(HEADER_LIMIT)
                    .serve_connection(TokioIo::new(stream), response);
                tokio::spawn(async move {
                    // A client that disconnects gets no response.
                    let _ = connection.await;
                });
            }
        });
        Ok(())
    }
}

fn respond(server: &StatusServer, method: &Method, path: &str) -> Response<Full<Bytes>> {
    let (mut code, mut kind, mut body) =
        (StatusCode::OK, "text/plain; charset=utf-8", String::new());
    let status = server.current();
    let is_healthy = status.as_ref().is_some_and(|status| status.level != Level::Failing);
    match (path, status) {
        _ if !matches!(*method, Method::GET | Method::HEAD) => {
            code = StatusCode::METHOD_NOT_ALLOWED
        }
        ("/health", status) => {
            if !is_healthy {
                code = StatusCode::SERVICE_UNAVAILABLE;
            }
            body = status.map_or_else(|| "starting\n".into(), |status| format!("{status}\n"));
        }
        ("/status" | "/metrics", None) => code = StatusCode::SERVICE_UNAVAILABLE,
        ("/status", Some(status)) => {
            kind = "application/json";
            body = serde_json::to_string_pretty(&*status).unwrap_or_default();
        }
        ("/metrics", Some(status)) => {
            kind = metrics::CONTENT_TYPE;
            body = metrics::render(&status);
        }
        _ => code = StatusCode::NOT_FOUND,
    }
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = code;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, http::HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, http::HeaderValue::from_static("no-store"));
    if code == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, http::HeaderValue::from_static("GET, HEAD"));
    }
    response
}
