//! What is published of CAs, without AWS: files in memory, served with entity tags on loopback, and a
//! publisher who can be made to do it wrong.

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
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use pki::clock::Timestamp;
use pki::crl::{BACKDATED_SECONDS, Contents, Entry, VALIDITY_SECONDS, VerifiedCrl, denied_digest};
use pki::hex;
use pki::names::DeviceId;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::pki::Ca;

type Body = StreamBody<BoxStream<'static, std::io::Result<Frame<Bytes>>>>;

/// Files that are served; they end when dropped.
pub struct Publication {
    /// Where, without a slash at the end.
    pub url: String,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

/// How an answer comes that comes slowly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slow {
    /// A megabyte, and two octets a second after that.
    Trickling,
    /// Whole, after so long.
    After(Duration),
}

#[derive(Default)]
struct Shared {
    files: Mutex<BTreeMap<String, Bytes>>,
    is_away: AtomicBool,
    is_cut_off: AtomicBool,
    slow: Mutex<Option<(String, Slow)>>,
    /// Held by each answer that is still coming slowly.
    slow_answers: Arc<()>,
    slow_begun: AtomicU64,
    requests: AtomicU64,
    unchanged: AtomicU64,
}

impl Publication {
    /// Serves nothing yet.
    ///
    /// # Errors
    /// No port is free.
    pub async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let shared = Arc::new(Shared::default());
        let server = tokio::spawn(serve(listener, shared.clone()));
        Ok(Self { url, shared, server })
    }

    /// Puts a file in place.
    pub fn put(&self, path: &str, content: impl Into<Bytes>) {
        self.shared.files.lock().unwrap().insert(path.to_owned(), content.into());
    }

    /// Takes it away.
    pub fn remove(&self, path: &str) {
        self.shared.files.lock().unwrap().remove(path);
    }

    /// What is at a path.
    pub fn get(&self, path: &str) -> Option<Bytes> {
        self.shared.files.lock().unwrap().get(path).cloned()
    }

    /// Whether connections are broken without an answer.
    pub fn set_away(&self, is_away: bool) {
        self.shared.is_away.store(is_away, Ordering::SeqCst);
    }

    /// Whether answers end before their end.
    pub fn set_cut_off(&self, is_cut_off: bool) {
        self.shared.is_cut_off.store(is_cut_off, Ordering::SeqCst);
    }

    /// What the paths begin with, if any do, of which what is new comes slowly.
    pub fn set_slow(&self, slow: Option<(&str, Slow)>) {
        *self.shared.slow.lock().unwrap() = slow.map(|(path, how)| (path.to_owned(), how));
    }

    /// How many answers began that come slowly, and whether one of them is still coming.
    pub fn slow_answers(&self) -> (u64, bool) {
        let Shared { slow_begun, slow_answers, .. } = &*self.shared;
        (slow_begun.load(Ordering::SeqCst), Arc::strong_count(slow_answers) > 1)
    }

    /// How many requests came so far, and how many of them were answered by 304.
    pub fn requests(&self) -> (u64, u64) {
        let Shared { requests, unchanged, .. } = &*self.shared;
        (requests.load(Ordering::SeqCst), unchanged.load(Ordering::SeqCst))
    }
}

impl Drop for Publication {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let shared = shared.clone();
        let answer = service_fn(move |request| answer(shared.clone(), request));
        let connection = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(stream), answer);
        tokio::spawn(async move {
            // A broken connection is what some faults are.
            let _ = connection.await;
        });
    }
}

/// An error of this breaks the connection: hyper closes it without an answer.
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
            Slow::Trickling => {
                let octets = file.chunks(2).map(|it| (Duration::from_secs(1), it.to_vec()));
                once((Duration::ZERO, vec![0; 1 << 20])).chain(octets).collect()
            }
            Slow::After(pause) => vec![(pause, file.to_vec())],
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

/// Who publishes the CRLs of CAs for devices, and their denied devices.
pub struct Publisher {
    /// The root.
    pub root: Ca,
    /// Their names and keys.
    pub authorities: Vec<(&'static str, Ca)>,
    /// What is revoked.
    pub revoked: BTreeMap<&'static str, Vec<Entry>>,
    /// Who is denied.
    pub denied: Vec<DeviceId>,
    /// What is published instead of their ids.
    pub list: Option<String>,
    /// The last CRLs' number.
    pub number: u64,
    /// For how long a CRL is good, in seconds.
    pub validity: u64,
    /// Where.
    pub publication: Publication,
}

impl Publisher {
    /// Publishes the certificates of these CAs, and their first CRLs, which are empty.
    ///
    /// # Errors
    /// No port is free.
    pub async fn start(root: Ca, authorities: Vec<(&'static str, Ca)>) -> anyhow::Result<Self> {
        let publication = Publication::start().await?;
        let mut publisher = Self {
            root,
            authorities,
            revoked: BTreeMap::new(),
            denied: Vec::new(),
            list: None,
            number: 0,
            validity: VALIDITY_SECONDS,
            publication,
        };
        publisher.publish_authorities();
        publisher.publish();
        Ok(publisher)
    }

    /// The CA of a name.
    ///
    /// # Panics
    /// There is none.
    pub fn ca(&self, name: &str) -> &Ca {
        &self.authorities.iter().find(|(it, _)| *it == name).expect("a CA").1
    }

    /// Publishes the index and the certificates.
    pub fn publish_authorities(&self) {
        let mut listed = Vec::new();
        for (name, ca) in &self.authorities {
            let (crl, certificate) = (format!("/crl/{name}.crl"), format!("/ca/{name}.crt"));
            self.publication.put(&certificate[1..], ca.certificate.der().to_vec());
            let chain = format!("{}{}", ca.certificate.pem(), self.root.certificate.pem());
            self.publication.put(&format!("ca/{name}.pem"), chain);
            listed.push(json!({
                "name": name, "usage": "device", "status": "active",
                "crl": crl, "certificate": certificate,
            }));
        }
        let index = json!({ "authorities": listed }).to_string();
        self.publication.put("ca/index.json", index);
    }

    /// Publishes the list of denied devices, and all CRLs with the next number.
    pub fn publish(&mut self) {
        self.publication.put(&self.list_path(), self.list());
        self.publish_crls();
    }

    /// Publishes all CRLs with the next number, and not the list that they name.
    pub fn publish_crls(&mut self) {
        self.number += 1;
        for (name, _) in &self.authorities {
            let crl = self.crl(name, self.number, 0);
            self.publication.put(&format!("crl/{name}.crl"), crl.der().to_vec());
        }
    }

    /// Where the list of denied devices belongs.
    pub fn list_path(&self) -> String {
        format!("denied/{}.txt", hex(&denied_digest(self.list().as_bytes())))
    }

    /// A CRL that is not published, made so many seconds ago.
    pub fn crl(&self, name: &str, number: u64, age: u64) -> VerifiedCrl {
        let now = Timestamp::now().minus(BACKDATED_SECONDS + age);
        let mut revoked = self.revoked.get(name).cloned().unwrap_or_default();
        revoked.sort_by_key(|entry| entry.serial);
        self.ca(name).crl(Contents {
            number,
            this_update: now,
            next_update: now.plus(BACKDATED_SECONDS + self.validity),
            revoked: &revoked,
            denied_devices: Some(denied_digest(self.list().as_bytes())),
            distribution_point: None,
        })
    }

    /// The list of denied devices.
    pub fn list(&self) -> String {
        if let Some(list) = &self.list {
            return list.clone();
        }
        let mut lines: Vec<_> = self.denied.iter().map(|id| format!("{id}\n")).collect();
        lines.sort();
        lines.concat()
    }
}
