//! The CDN that publishes parts of the bucket.

use axum::response::Response;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header::ALLOW};

use super::{error::error_response, get::get, objects::Objects};

/// Returns the response of the CDN, or `None` if the path is not one that the CDN serves.
#[must_use]
pub(crate) fn published(
    objects: &Objects,
    method: &Method,
    path: &str,
    headers: &HeaderMap,
) -> Option<Response> {
    let key = path.strip_prefix('/')?;
    if !["ca/", "crl/", "denied/"].iter().any(|prefix| key.starts_with(prefix)) {
        return None;
    }
    if !matches!(*method, Method::GET | Method::HEAD) {
        let mut response = error_response(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return Some(response);
    }
    Some(get(objects, key, headers))
}
