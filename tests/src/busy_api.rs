//! An API that is busy at first, in front of a real one.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use http::header::{HOST, RETRY_AFTER};
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use crate::loopback_server::LoopbackServer;

/// The API: it refuses the first request for each path with a 503, and forwards all others. Dropping it
/// stops it.
pub struct BusyApi(LoopbackServer);

#[derive(Default)]
struct Shared {
    upstream: String,
    client: reqwest::Client,
    refused: Mutex<BTreeSet<String>>,
}

impl BusyApi {
    /// Starts a server in front of the API at `upstream`.
    ///
    /// # Errors
    /// If no port is free.
    pub async fn start(upstream: &str) -> anyhow::Result<Self> {
        let shared = Arc::new(Shared { upstream: upstream.to_owned(), ..Shared::default() });
        Ok(Self(LoopbackServer::start(move |request| answer(shared.clone(), request)).await?))
    }

    /// Returns the base URL, without a slash at the end.
    pub fn url(&self) -> &str {
        &self.0.url
    }
}

async fn answer(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> anyhow::Result<Response<reqwest::Body>> {
    let (mut parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    if shared.refused.lock().unwrap().insert(parts.uri.path().to_owned()) {
        let response = Response::builder()
            .status(StatusCode::SERVICE_UNAVAILABLE)
            .header(RETRY_AFTER, 1)
            .body(r#"{"title":"busy on purpose"}"#.into())?;
        return Ok(response);
    }
    parts.headers.remove(HOST);
    let url = format!("{}{}", shared.upstream, parts.uri);
    let forwarded = shared.client.request(parts.method, url).headers(parts.headers).body(body);
    Ok(forwarded.send().await?.into())
}
