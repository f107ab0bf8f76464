//! What is published, by HTTP: asked for with the entity tag of what is known (RFC 9110, section
//! 13.1.2), so that no news cost no more than a header.

use std::{
    fmt, fs,
    str::FromStr,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use http::{
    HeaderValue, StatusCode,
    header::{ETAG, IF_NONE_MATCH},
};
use reqwest::{Certificate, Client, Url, redirect::Policy};
use tokio::time::timeout;

use crate::options::Options;

const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// For an answer to begin, and between two reads.
const READ_LIMIT: Duration = Duration::from_secs(10);
/// What has to arrive in a second after that: of a connection that trickles nothing is to be expected.
const PACE: usize = 64 << 10;
/// For a whole document: of a million entries and more, at that pace.
const TOTAL_LIMIT: Duration = Duration::from_secs(20 * 60);

/// The address below which everything is published.
#[derive(Clone, Debug)]
pub(crate) struct BaseUrl(Url);

impl FromStr for BaseUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let url: Url = text.parse().map_err(|error| format!("not a URL: {error}"))?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err("it should be an http or https URL".into());
        }
        // It is shown in logs and in the status.
        if !url.username().is_empty() || url.password().is_some() {
            return Err("it has credentials, and needs none: everything published is public".into());
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err("it should have no query and no fragment".into());
        }
        Ok(Self(url))
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

/// A client of what is published.
#[derive(Clone)]
pub(crate) struct Source {
    client: Client,
    base: BaseUrl,
}

/// An answer.
pub(crate) enum Fetched {
    /// It is what is known.
    Unchanged,
    Changed(Document),
}

pub(crate) struct Document {
    pub(crate) body: Vec<u8>,
    pub(crate) etag: Option<HeaderValue>,
}

impl Source {
    pub(crate) fn new(options: &Options) -> anyhow::Result<Self> {
        let mut client = Client::builder()
            .user_agent(concat!("birthcert-agent/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_LIMIT)
            .read_timeout(READ_LIMIT)
            .timeout(TOTAL_LIMIT)
            .redirect(Policy::limited(3));
        if let Some(file) = &options.tls_root {
            let name = file.display();
            let pem = fs::read(file).with_context(|| format!("cannot read {name}"))?;
            let roots = Certificate::from_pem_bundle(&pem);
            for root in roots.with_context(|| format!("{name} has no certificates"))? {
                client = client.add_root_certificate(root);
            }
        }
        // Where there is no TLS, a system without trusted roots is none to complain of.
        let is_plain = options.source.0.scheme() == "http";
        if is_plain || options.tls_root.is_some() {
            client = client.tls_built_in_root_certs(false);
        }
        let client = client.build().context("cannot make an HTTP client")?;
        Ok(Self { client, base: options.source.clone() })
    }

    /// What is at `path` now, if it is not what `known` tags. Nothing longer than `limit` octets is
    /// read.
    pub(crate) async fn fetch(
        &self,
        path: &str,
        known: Option<&HeaderValue>,
        limit: usize,
    ) -> anyhow::Result<Fetched> {
        let url = format!("{}/{}", self.base, path.trim_start_matches('/'));
        let asked = self.ask(&url, known, limit).await;
        asked.with_context(|| format!("GET {url}"))
    }

    async fn ask(
        &self,
        url: &str,
        known: Option<&HeaderValue>,
        limit: usize,
    ) -> anyhow::Result<Fetched> {
        let mut request = self.client.get(url);
        if let Some(known) = known {
            request = request.header(IF_NONE_MATCH, known);
        }
        let began = Instant::now();
        let answer = timeout(READ_LIMIT, request.send()).await.context("no answer")?;
        let mut answer = answer.map_err(bare)?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::NOT_MODIFIED if known.is_some() => return Ok(Fetched::Unchanged),
            other => bail!("it answers {other}"),
        }
        let etag = answer.headers().get(ETAG).cloned();
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(bare)? {
            ensure!(body.len() + chunk.len() <= limit, "more than {limit} bytes");
            body.extend_from_slice(&chunk);
            let limit = READ_LIMIT + Duration::from_secs((body.len() / PACE) as u64);
            ensure!(began.elapsed() <= limit, "it is too slow: {} bytes in {limit:?}", body.len());
        }
        Ok(Fetched::Changed(Document { body, etag }))
    }
}

/// The address is in the context already.
fn bare(error: reqwest::Error) -> reqwest::Error {
    error.without_url()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_an_address_and_nothing_else() {
        let base = |text: &str| text.parse::<BaseUrl>().map(|it| it.to_string());
        assert_eq!(base("https://crl.example.com").unwrap(), "https://crl.example.com");
        assert_eq!(base("http://127.0.0.1:1/a/").unwrap(), "http://127.0.0.1:1/a");
        for wrong in
            ["", "crl.example.com", "file:///etc", "https://a:b@c", "http://a/?b", "http://a/#b"]
        {
            assert!(base(wrong).is_err(), "{wrong}");
        }
    }
}
