//! The S3 API, as far as publishing needs it.

use std::{collections::BTreeMap, io, sync::Arc};

use axum::{
    Router,
    body::{Bytes, to_bytes},
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use http::{
    HeaderMap, HeaderValue, Method, StatusCode,
    header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_MATCH, IF_NONE_MATCH},
    request::Parts,
};
use pki::hex;
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;

use super::{
    error::error_response,
    get::get,
    objects::{Objects, Precondition, PutOutcome},
};

/// Well above the 68 MB of a PEM-encoded CRL with a million entries.
const BODY_LIMIT: usize = 256 * 1024 * 1024;
/// The prefix of user-defined metadata.
const METADATA_PREFIX: &str = "x-amz-meta-";

struct Bucket {
    name: String,
    objects: Arc<Objects>,
}

/// Serves `objects` as the bucket `name` on `listener` until `shutdown` completes. Requests use the
/// path style.
///
/// # Errors
/// If the listener fails.
pub async fn serve(
    listener: TcpListener,
    name: &str,
    objects: Arc<Objects>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let bucket = Arc::new(Bucket { name: name.to_owned(), objects });
    let router = Router::new().fallback(handle).with_state(bucket);
    axum::serve(listener, router).with_graceful_shutdown(shutdown).await
}

async fn handle(State(bucket): State<Arc<Bucket>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    match to_bytes(body, BODY_LIMIT).await {
        Ok(body) => respond(&bucket.objects, &bucket.name, &parts, &body),
        Err(_) => error_response(StatusCode::BAD_REQUEST, "EntityTooLarge"),
    }
}

/// Answers one request to `objects` as the bucket `bucket`.
pub fn respond(objects: &Objects, bucket: &str, request: &Parts, body: &Bytes) -> Response {
    let path = request.uri.path().trim_start_matches('/');
    let (name, key) = path.split_once('/').unwrap_or((path, ""));
    if name != bucket {
        return error_response(StatusCode::NOT_FOUND, "NoSuchBucket");
    }
    match request.method {
        Method::GET | Method::HEAD => get(objects, key, &request.headers),
        Method::PUT => put(objects, key, &request.headers, body),
        _ => error_response(StatusCode::NOT_IMPLEMENTED, "NotImplemented"),
    }
}

fn put(objects: &Objects, key: &str, headers: &HeaderMap, body: &Bytes) -> Response {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if text(CONTENT_ENCODING.as_str()).is_some_and(|it| it.contains("aws-chunked")) {
        return error_response(StatusCode::NOT_IMPLEMENTED, "NotImplemented");
    }
    let signed = text("x-amz-content-sha256");
    if signed.is_none_or(|signed| signed.len() == 64 && signed != hex(&Sha256::digest(body))) {
        return error_response(StatusCode::BAD_REQUEST, "XAmzContentSHA256Mismatch");
    }
    let precondition = match (text(IF_MATCH.as_str()), text(IF_NONE_MATCH.as_str())) {
        (None, None) => Precondition::None,
        (None, Some("*")) => Precondition::Absent,
        (Some(tag), None) => Precondition::ETag(tag.to_owned()),
        _ => return error_response(StatusCode::NOT_IMPLEMENTED, "NotImplemented"),
    };
    let is_kept = |name: &str| {
        name == CONTENT_TYPE.as_str()
            || name == CACHE_CONTROL.as_str()
            || name.starts_with(METADATA_PREFIX)
    };
    let kept: BTreeMap<_, _> = headers
        .iter()
        .filter(|(name, _)| is_kept(name.as_str()))
        .filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())))
        .collect();
    match objects.put(key, &precondition, kept, body) {
        Ok(PutOutcome::Stored(metadata)) => {
            let mut response = StatusCode::OK.into_response();
            if let Ok(etag) = HeaderValue::try_from(metadata.etag) {
                response.headers_mut().insert(ETAG, etag);
            }
            response
        }
        Ok(PutOutcome::PreconditionFailed) => {
            error_response(StatusCode::PRECONDITION_FAILED, "PreconditionFailed")
        }
        Ok(PutOutcome::NotFound) => error_response(StatusCode::NOT_FOUND, "NoSuchKey"),
        Err(error) if error.kind() == io::ErrorKind::InvalidFilename => {
            error_response(StatusCode::BAD_REQUEST, "InvalidURI")
        }
        Err(_) => error_response(StatusCode::INTERNAL_SERVER_ERROR, "InternalError"),
    }
}
