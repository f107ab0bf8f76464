//! Where the status is shown: /health, /status and /metrics.

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

use crate::{
    log, metrics,
    status::{Level, Status},
};

/// Between two requests on a connection, and for a request's headers.
const HEADERS_LIMIT: Duration = Duration::from_secs(10);

/// What is shown; none before the first look.
#[derive(Clone, Default)]
pub(crate) struct Board(Arc<Mutex<Option<Arc<Status>>>>);

impl Board {
    pub(crate) fn show(&self, status: Status) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(status));
    }

    pub(crate) fn shown(&self) -> Option<Arc<Status>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Serves it from now on.
    pub(crate) async fn serve(&self, address: SocketAddr) -> anyhow::Result<()> {
        let listener = TcpListener::bind(address).await;
        let listener = listener.with_context(|| format!("cannot listen on {address}"))?;
        log::info(format_args!("status on http://{}/status", listener.local_addr()?));
        let board = self.clone();
        tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else {
                    // Of too many open files, for one; trying again at once would change nothing.
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    continue;
                };
                let board = board.clone();
                let answer = service_fn(move |request: Request<Incoming>| {
                    let answer = answer(&board, request.method(), request.uri().path());
                    async { Ok::<_, Infallible>(answer) }
                });
                let connection = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(HEADERS_LIMIT)
                    .serve_connection(TokioIo::new(stream), answer);
                tokio::spawn(async move {
                    // Who breaks off gets no answer.
                    let _ = connection.await;
                });
            }
        });
        Ok(())
    }
}

fn answer(board: &Board, method: &Method, path: &str) -> Response<Full<Bytes>> {
    let (mut code, mut kind, mut body) =
        (StatusCode::OK, "text/plain; charset=utf-8", String::new());
    let status = board.shown();
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
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = code;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, http::HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, http::HeaderValue::from_static("no-store"));
    if code == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, http::HeaderValue::from_static("GET, HEAD"));
    }
    answer
}
