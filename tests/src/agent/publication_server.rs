//! A server for published documents, without AWS: files in memory with entity tags, on loopback,
//! with faults that tests can switch on.

use std::collections::BTreeMap;
use std::iter::once;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::bail;
use futures_util::StreamExt as _;
use futures_util::stream::{BoxStream, iter};
use http::header::{CONTENT_LENGTH, ETAG, IF_NONE_MATCH};
use http::{Request, Response, StatusCode};
use http_body_util::StreamBody;
use hyper::body::{Bytes, Frame, Incoming};
use pki::crl::denied_digest;
use pki::hex;
use tokio::time::sleep;

use crate::loopback_server::LoopbackServer;

type Body = StreamBody<BoxStream<'static, std::io::Result<Frame<Bytes>>>>;

/// A file server. Dropping it stops it.
pub struct PublicationServer {
    shared: Arc<Shared>,
    server: LoopbackServer,
}

/// Ways to respond slowly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlowResponse {
    /// A megabyte, and two octets a second after that.
    Trickling,
    /// Complete, after this time.
    After(Duration),
}

#[derive(Default)]
struct Shared {
    files: Mutex<BTreeMap<String, Bytes>>,
    is_away: AtomicBool,
    is_cut_off: AtomicBool,
    slow: Mutex<Option<(String, SlowResponse)>>,
    /// Held by each slow response that is still being sent.
    slow_answers: Arc<()>,
    slow_begun: AtomicU64,
    requests: AtomicU64,
    unchanged: AtomicU64,
}

impl PublicationServer {
    /// Starts a server without files.
    ///
    /// # Errors
    /// If no port is free.
    pub async fn start() -> anyhow::Result<Self> {
        let shared = Arc::new(Shared::default());
        let answering = shared.clone();
        let server =
            LoopbackServer::start(move |request| answer(answering.clone(), request)).await?;
        Ok(Self { shared, server })
    }

    /// Returns the base URL, without a slash at the end.
    pub fn url(&self) -> &str {
        &self.server.url
    }

    /// Adds or replaces a file.
    pub fn put(&self, path: &str, content: impl Into<Bytes>) {
        self.shared.files.lock().unwrap().insert(path.to_owned(), content.into());
    }

    /// Removes a file.
    pub fn remove(&self, path: &str) {
        self.shared.files.lock().unwrap().remove(path);
    }

    /// Returns the file at a path.
    pub fn get(&self, path: &str) -> Option<Bytes> {
        self.shared.files.lock().unwrap().get(path).cloned()
    }

    /// Sets whether connections break without a response.
    pub fn set_away(&self, is_away: bool) {
        self.shared.is_away.store(is_away, Ordering::SeqCst);
    }

    /// Sets whether responses are cut short.
    pub fn set_cut_off(&self, is_cut_off: bool) {
        self.shared.is_cut_off.store(is_cut_off, Ordering::SeqCst);
    }

    /// Makes changed files respond slowly if their path has this prefix.
    pub fn set_slow(&self, slow: Option<(&str, SlowResponse)>) {
        *self.shared.slow.lock().unwrap() = slow.map(|(path, how)| (path.to_owned(), how));
    }

    /// Returns how many slow responses began, and whether one is still being sent.
    pub fn slow_answers(&self) -> (u64, bool) {
        let Shared { slow_begun, slow_answers, .. } = &*self.shared;
        (slow_begun.load(Ordering::SeqCst), Arc::strong_count(slow_answers) > 1)
    }

    /// Returns the number of requests so far, and how many of them were answered by 304.
    pub fn requests(&self) -> (u64, u64) {
        let Shared { requests, unchanged, .. } = &*self.shared;
        (requests.load(Ordering::SeqCst), unchanged.load(Ordering::SeqCst))
    }
}

/// Answers a request. An error breaks the connection.
async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> anyhow::Result<Response<Body>> {
    shared.requests.fetch_add(1, Ordering::SeqCst);
    if shared.is_away.load(Ordering::SeqCst) {
        bail!("away on purpose");
    }
    let path = request.uri().path().trim_start_matches('/');
    let Some(file) = shared.files.lock().unwrap().get(path).cloned() else {
        let mut missing = Response::new(body(vec![]));
        *missing.status_mut() = StatusCode::NOT_FOUND;
        return Ok(missing);
    };
    let etag = format!("\"{}\"", hex(&denied_digest(&file)));
    if request.headers().get(IF_NONE_MATCH).is_some_and(|it| it.as_bytes() == etag.as_bytes()) {
        shared.unchanged.fetch_add(1, Ordering::SeqCst);
        return Ok(Response::builder().status(304).header(ETAG, etag).body(body(vec![]))?);
    }
    let slow = shared.slow.lock().unwrap().clone();
    if let Some((_, how)) = slow.filter(|(it, _)| path.starts_with(it)) {
        shared.slow_begun.fetch_add(1, Ordering::SeqCst);
        let coming = Arc::clone(&shared.slow_answers);
        let parts = match how {
            SlowResponse::Trickling => {
                let octets = file.chunks(2).map(|it| (Duration::from_secs(1), it.to_vec()));
                once((Duration::ZERO, vec![0; 1 << 20])).chain(octets).collect()
            }
            SlowResponse::After(pause) => vec![(pause, file.to_vec())],
        };
        let slow = iter(parts).then(move |(pause, part)| {
            let coming = Arc::clone(&coming);
            async move {
                sleep(pause).await;
                drop(coming);
                Ok(Frame::data(Bytes::from(part)))
            }
        });
        return Ok(Response::builder().header(ETAG, etag).body(StreamBody::new(slow.boxed()))?);
    }
    let answer = Response::builder().header(ETAG, etag).header(CONTENT_LENGTH, file.len());
    let frames = if shared.is_cut_off.load(Ordering::SeqCst) {
        vec![Ok(file.slice(..file.len() / 2)), Err(std::io::Error::other("cut off on purpose"))]
    } else {
        vec![Ok(file)]
    };
    Ok(answer.body(body(frames))?)
}

fn body(frames: Vec<std::io::Result<Bytes>>) -> Body {
    StreamBody::new(iter(frames.into_iter().map(|frame| frame.map(Frame::data))).boxed())
}
