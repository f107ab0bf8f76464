//! The HTTP client for published documents.
//!
//! Requests are conditional on the last entity tag (RFC 9110, section 13.1.2), so a poll without
//! news costs only headers.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use http::{
    HeaderValue, StatusCode,
    header::{ETAG, IF_NONE_MATCH},
};
use reqwest::{Certificate, Client, redirect::Policy};
use tokio::time::timeout;

use super::base_url::BaseUrl;

const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// Limit for the start of a response, and between two reads.
const READ_LIMIT: Duration = Duration::from_secs(10);
/// Bytes per second below which a response is abandoned after that.
const MIN_PACE: usize = 64 << 10;
/// Limit for a whole document: enough for a million entries at the minimum pace.
const TOTAL_LIMIT: Duration = Duration::from_secs(20 * 60);

/// A client for one base URL.
#[derive(Clone)]
pub(crate) struct Source {
    client: Client,
    base: BaseUrl,
}

/// A conditional GET request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) path: String,
    /// The entity tag of the known version.
    pub(crate) known: Option<HeaderValue>,
    /// Maximum size of the response, in bytes.
    pub(crate) limit: usize,
}

pub(crate) enum Fetched {
    /// The known version is current.
    Unchanged,
    Changed(Document),
}

pub(crate) struct Document {
    pub(crate) body: Vec<u8>,
    pub(crate) etag: Option<HeaderValue>,
}

impl Source {
    pub(crate) fn new(base: &BaseUrl, tls_root: Option<&Path>) -> anyhow::Result<Self> {
        let mut client = Client::builder()
            .user_agent(concat!("birthcert-agent/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_LIMIT)
            .read_timeout(READ_LIMIT)
            .timeout(TOTAL_LIMIT)
            .redirect(Policy::limited(3));
        if let Some(file) = tls_root {
            let name = file.display();
            let pem = fs::read(file).with_context(|| format!("cannot read {name}"))?;
            let roots = Certificate::from_pem_bundle(&pem);
            for root in roots.with_context(|| format!("{name} contains no valid certificates"))? {
                client = client.add_root_certificate(root);
            }
        }
        // Without TLS, a system without trusted roots is not an error.
        if base.is_plain_http() || tls_root.is_some() {
            client = client.tls_built_in_root_certs(false);
        }
        let client = client.build().context("cannot create an HTTP client")?;
        Ok(Self { client, base: base.clone() })
    }

    /// Downloads a document, unless the known version is current.
    pub(crate) async fn fetch(&self, request: &Request) -> anyhow::Result<Fetched> {
        let url = format!("{}/{}", self.base, request.path.trim_start_matches('/'));
        let fetched = self.get(&url, request.known.as_ref(), request.limit).await;
        fetched.with_context(|| format!("cannot download {url}"))
    }

    async fn get(
        &self,
        url: &str,
        known: Option<&HeaderValue>,
        limit: usize,
    ) -> anyhow::Result<Fetched> {
        let mut request = self.client.get(url);
        if let Some(known) = known {
            request = request.header(IF_NONE_MATCH, known);
        }
        let start = Instant::now();
        let response = timeout(READ_LIMIT, request.send()).await.context("no response")?;
        let mut response = response.map_err(without_url)?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_MODIFIED if known.is_some() => return Ok(Fetched::Unchanged),
            other => bail!("unexpected status {other}"),
        }
        let etag = response.headers().get(ETAG).cloned();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(without_url)? {
            ensure!(body.len() + chunk.len() <= limit, "response is larger than {limit} bytes");
            body.extend_from_slice(&chunk);
            let limit = READ_LIMIT + Duration::from_secs((body.len() / MIN_PACE) as u64);
            let length = body.len();
            ensure!(start.elapsed() <= limit, "response is too slow: {length} bytes in {limit:?}");
        }
        Ok(Fetched::Changed(Document { body, etag }))
    }
}

/// Removes the URL, which the context already names.
fn without_url(error: reqwest::Error) -> reqwest::Error {
    error.without_url()
}
