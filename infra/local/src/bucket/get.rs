//! Reading objects over HTTP, as S3 and the CDN do.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{CONTENT_TYPE, ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED},
};
use pki::clock::Timestamp;

use super::{
    error::error_response,
    objects::{Metadata, Objects},
};

/// Responds to a GET or HEAD request for an object, with or without a condition.
pub(super) fn get(objects: &Objects, key: &str, headers: &HeaderMap) -> Response {
    let (metadata, body) = match objects.get(key) {
        Ok(Some(object)) => object,
        Ok(None) => return error_response(StatusCode::NOT_FOUND, "NoSuchKey"),
        Err(_) => return error_response(StatusCode::INTERNAL_SERVER_ERROR, "InternalError"),
    };
    let (status, body) = match is_not_modified(&metadata, headers) {
        true => (StatusCode::NOT_MODIFIED, Body::empty()),
        // The response to HEAD needs the length of the body, which hyper then omits.
        false => (StatusCode::OK, Body::from(body)),
    };
    let mut response = (status, body).into_response();
    response.headers_mut().remove(CONTENT_TYPE);
    for (name, value) in &metadata.headers {
        insert_header(&mut response, name, value);
    }
    insert_header(&mut response, ETAG.as_str(), &metadata.etag);
    if let Some(modified) = metadata.modified {
        insert_header(
            &mut response,
            LAST_MODIFIED.as_str(),
            &httpdate::fmt_http_date(time(modified)),
        );
    }
    response
}

/// Returns true if the client already has this version (RFC 9110, section 13.2.2).
fn is_not_modified(metadata: &Metadata, headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    if let Some(tags) = text(IF_NONE_MATCH) {
        let tag = |tag: &str| tag.trim().trim_start_matches("W/") == metadata.etag;
        return tags.trim() == "*" || tags.split(',').any(tag);
    }
    let since = text(IF_MODIFIED_SINCE).and_then(|since| httpdate::parse_http_date(since).ok());
    since.zip(metadata.modified).is_some_and(|(since, modified)| time(modified) <= since)
}

fn time(timestamp: Timestamp) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(timestamp.unix())
}

fn insert_header(response: &mut Response, name: &str, value: &str) {
    if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
        response.headers_mut().insert(name, value);
    }
}
