//! The stand-in for S3, with a record of every version of its objects.

use std::sync::Mutex;

use birthcert_local::bucket::{Objects, respond};
use http::request::Parts;
use http_body_util::BodyExt as _;
use hyper::body::Bytes;
use tempfile::TempDir;
use tokio::time::Instant;

use crate::faults::answers::Answer;

/// The bucket's name.
pub(super) const BUCKET: &str = "birthcert-faults";

/// A bucket.
pub(super) struct Bucket {
    objects: Objects,
    versions: Mutex<Vec<Version>>,
    _directory: TempDir,
}

/// An object that was put.
#[derive(Clone, Debug)]
pub(super) struct Version {
    pub(super) at: Instant,
    pub(super) key: String,
    pub(super) body: Bytes,
}

impl Bucket {
    /// Creates an empty bucket.
    pub(super) fn new() -> anyhow::Result<Self> {
        let directory = TempDir::new()?;
        let objects = Objects::open(&directory.path().join("bucket"))?;
        Ok(Self { objects, versions: Mutex::default(), _directory: directory })
    }

    /// Carries out a call.
    pub(super) async fn call(&self, request: &Parts, body: &Bytes) -> Answer {
        let response = respond(&self.objects, BUCKET, request, body);
        if request.method == http::Method::PUT && response.status().is_success() {
            let (_, key) = request.uri.path()[1..].split_once('/').unwrap_or_default();
            let version = Version { at: Instant::now(), key: key.to_owned(), body: body.clone() };
            self.versions.lock().unwrap().push(version);
        }
        let (parts, body) = response.into_parts();
        // In memory, so this never waits and never fails.
        let body = body.collect().await.unwrap().to_bytes();
        let is_head = request.method == http::Method::HEAD;
        Answer::from_parts(parts, if is_head { Bytes::new() } else { body })
    }

    /// Returns all versions of an object, the oldest first.
    pub(super) fn versions(&self, key: &str) -> Vec<Version> {
        let versions = self.versions.lock().unwrap();
        versions.iter().filter(|version| version.key == key).cloned().collect()
    }
}
