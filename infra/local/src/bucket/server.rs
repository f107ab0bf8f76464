//! S3 over HTTP, as far as it goes here; and what a CDN makes of it.

use std::{
    collections::BTreeMap,
    io,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode,
    header::{
        ALLOW, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_MATCH, IF_MODIFIED_SINCE,
        IF_NONE_MATCH, LAST_MODIFIED,
    },
};
use pki::{clock::Timestamp, hex};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;

use super::files::{Condition, Files, Head, Written};

/// A list of a million certificates in PEM has 68 megabytes.
const BODY_LIMIT: usize = 256 * 1024 * 1024;
/// What an object's own metadata begins with.
const METADATA: &str = "x-amz-meta-";

struct Bucket {
    name: String,
    files: Arc<Files>,
}

/// Serves `files` as the bucket `name` on `listener`, by path, until `shutdown`.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    name: &str,
    files: Arc<Files>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let bucket = Arc::new(Bucket { name: name.to_owned(), files });
    let router = Router::new().fallback(answer).with_state(bucket);
    axum::serve(listener, router).with_graceful_shutdown(shutdown).await
}

async fn answer(State(bucket): State<Arc<Bucket>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().trim_start_matches('/');
    let (name, key) = path.split_once('/').unwrap_or((path, ""));
    if name != bucket.name {
        return fault(StatusCode::NOT_FOUND, "NoSuchBucket");
    }
    match parts.method {
        Method::GET | Method::HEAD => read(&bucket.files, key, &parts.headers),
        Method::PUT => match to_bytes(body, BODY_LIMIT).await {
            Ok(body) => write(&bucket.files, key, &parts.headers, &body),
            Err(_) => fault(StatusCode::BAD_REQUEST, "EntityTooLarge"),
        },
        _ => fault(StatusCode::NOT_IMPLEMENTED, "NotImplemented"),
    }
}

/// What the CDN answers for a path that the bucket is published under, if it is one.
#[must_use]
pub fn published(
    files: &Files,
    method: &Method,
    path: &str,
    headers: &HeaderMap,
) -> Option<Response> {
    let key = path.strip_prefix('/')?;
    if !["ca/", "crl/", "denied/"].iter().any(|prefix| key.starts_with(prefix)) {
        return None;
    }
    if !matches!(*method, Method::GET | Method::HEAD) {
        let mut response = fault(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return Some(response);
    }
    Some(read(files, key, headers))
}

fn read(files: &Files, key: &str, headers: &HeaderMap) -> Response {
    let (head, body) = match files.read(key) {
        Ok(Some(found)) => found,
        Ok(None) => return fault(StatusCode::NOT_FOUND, "NoSuchKey"),
        Err(_) => return fault(StatusCode::INTERNAL_SERVER_ERROR, "InternalError"),
    };
    let (status, body) = match is_known(&head, headers) {
        true => (StatusCode::NOT_MODIFIED, Body::empty()),
        // Of a HEAD's answer the length is told; hyper sends nothing of it.
        false => (StatusCode::OK, Body::from(body)),
    };
    let mut response = (status, body).into_response();
    response.headers_mut().remove(CONTENT_TYPE);
    for (name, value) in &head.headers {
        insert(&mut response, name, value);
    }
    insert(&mut response, ETAG.as_str(), &head.etag);
    if let Some(modified) = head.modified {
        insert(&mut response, LAST_MODIFIED.as_str(), &httpdate::fmt_http_date(time(modified)));
    }
    response
}

/// Whether the one who asks has this one (RFC 9110, section 13.2.2).
fn is_known(head: &Head, headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    if let Some(tags) = text(IF_NONE_MATCH) {
        let tag = |tag: &str| tag.trim().trim_start_matches("W/") == head.etag;
        return tags.trim() == "*" || tags.split(',').any(tag);
    }
    let since = text(IF_MODIFIED_SINCE).and_then(|since| httpdate::parse_http_date(since).ok());
    since.zip(head.modified).is_some_and(|(since, modified)| time(modified) <= since)
}

fn time(timestamp: Timestamp) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(timestamp.unix())
}

fn write(files: &Files, key: &str, headers: &HeaderMap, body: &Bytes) -> Response {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if text(CONTENT_ENCODING.as_str()).is_some_and(|it| it.contains("aws-chunked")) {
        return fault(StatusCode::NOT_IMPLEMENTED, "NotImplemented");
    }
    let signed = text("x-amz-content-sha256");
    if signed.is_none_or(|signed| signed.len() == 64 && signed != hex(&Sha256::digest(body))) {
        return fault(StatusCode::BAD_REQUEST, "XAmzContentSHA256Mismatch");
    }
    let condition = match (text(IF_MATCH.as_str()), text(IF_NONE_MATCH.as_str())) {
        (None, None) => Condition::None,
        (None, Some("*")) => Condition::Absent,
        (Some(tag), None) => Condition::Tag(tag.to_owned()),
        _ => return fault(StatusCode::NOT_IMPLEMENTED, "NotImplemented"),
    };
    let is_kept = |name: &str| {
        name == CONTENT_TYPE.as_str()
            || name == CACHE_CONTROL.as_str()
            || name.starts_with(METADATA)
    };
    let kept: BTreeMap<_, _> = headers
        .iter()
        .filter(|(name, _)| is_kept(name.as_str()))
        .filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())))
        .collect();
    match files.write(key, &condition, kept, body) {
        Ok(Written::Done(head)) => {
            let mut response = StatusCode::OK.into_response();
            insert(&mut response, ETAG.as_str(), &head.etag);
            response
        }
        Ok(Written::Refused) => fault(StatusCode::PRECONDITION_FAILED, "PreconditionFailed"),
        Ok(Written::Missing) => fault(StatusCode::NOT_FOUND, "NoSuchKey"),
        Err(error) if error.kind() == io::ErrorKind::InvalidFilename => {
            fault(StatusCode::BAD_REQUEST, "InvalidURI")
        }
        Err(_) => fault(StatusCode::INTERNAL_SERVER_ERROR, "InternalError"),
    }
}

fn insert(response: &mut Response, name: &str, value: &str) {
    if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
        response.headers_mut().insert(name, value);
    }
}

fn fault(status: StatusCode, code: &str) -> Response {
    let body =
        format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code></Error>");
    (status, [(CONTENT_TYPE, "application/xml")], body).into_response()
}
