//! HTTP requests as API Gateway hands them over, and the responses to them.

use std::net::IpAddr;

use http::{HeaderValue, header};
use lambda_http::{Body, Request, RequestExt, Response, request::RequestContext};
use serde::Serialize;

use crate::{
    audit::Event,
    error::{CredentialFault, Error, Result},
    problem,
    runtime::Runtime,
};

/// The id that API Gateway gave the request, which its access log has too; else Lambda's own.
#[must_use]
pub fn request_id(request: &Request) -> String {
    let from_gateway = match request.request_context_ref() {
        Some(RequestContext::ApiGatewayV1(context)) => context.request_id.clone(),
        Some(RequestContext::ApiGatewayV2(context)) => context.request_id.clone(),
        _ => None,
    };
    from_gateway
        .or_else(|| request.lambda_context_ref().map(|context| context.request_id.clone()))
        .unwrap_or_default()
}

/// The address that API Gateway itself saw the request come from. What headers such as
/// `X-Forwarded-For` say of it is the caller's word and never read.
#[must_use]
pub fn source_address(request: &Request) -> Option<IpAddr> {
    let address = match request.request_context_ref() {
        Some(RequestContext::ApiGatewayV1(context)) => context.identity.source_ip.as_deref(),
        Some(RequestContext::ApiGatewayV2(context)) => context.http.source_ip.as_deref(),
        _ => None,
    };
    address?.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

/// Checks that a request is for `path`, whatever stage it came through, and for one of the methods in
/// `allow`, which is what the header `Allow` says of it.
///
/// # Errors
/// [`Error::NotFound`] or [`Error::MethodNotAllowed`].
pub fn expect_route(request: &Request, allow: &'static str, path: &'static str) -> Result<()> {
    let stage = match request.request_context_ref() {
        Some(RequestContext::ApiGatewayV1(context)) => context.stage.as_deref(),
        Some(RequestContext::ApiGatewayV2(context)) => context.stage.as_deref(),
        _ => None,
    };
    let raw = request.raw_http_path();
    let local = stage
        .and_then(|stage| raw.strip_prefix('/')?.strip_prefix(stage))
        .filter(|rest| rest.starts_with('/'))
        .unwrap_or(raw);
    match () {
        () if local != path => Err(Error::NotFound),
        () if !allow.split(", ").any(|method| method == request.method()) => {
            Err(Error::MethodNotAllowed { allow })
        }
        () => Ok(()),
    }
}

/// The one value of the header `name`.
///
/// # Errors
/// How often it was sent instead.
pub fn single_header<'a>(
    request: &'a Request,
    name: &header::HeaderName,
) -> std::result::Result<&'a str, CredentialFault> {
    let mut values = request.headers().get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Err(CredentialFault::Missing),
        (Some(value), None) => {
            let value = value.to_str().map_err(|_| CredentialFault::Malformed)?.trim();
            match value {
                "" => Err(CredentialFault::Missing),
                // An HTTP API joins repeated headers with commas; no token has one.
                joined if joined.contains(',') => Err(CredentialFault::Misplaced),
                value => Ok(value),
            }
        }
        (Some(_), Some(_)) => Err(CredentialFault::Misplaced),
    }
}

/// The body, which may have up to `limit` bytes.
///
/// # Errors
/// [`Error::BodyTooLarge`].
pub fn body(request: &Request, limit: usize) -> Result<&[u8]> {
    let body: &[u8] = request.body().as_ref();
    if body.len() > limit { Err(Error::BodyTooLarge { limit }) } else { Ok(body) }
}

/// The content type in lower case and without its parameters, if there is one: `""` for what no header
/// should have.
#[must_use]
pub fn media_type(request: &Request) -> Option<String> {
    let value = request.headers().get(header::CONTENT_TYPE)?.to_str().unwrap_or_default();
    Some(value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

/// The response to a request: JSON, or a problem document, which is logged.
pub fn respond(
    request_id: &str,
    runtime: Runtime,
    outcome: Result<impl Serialize>,
) -> Response<Body> {
    match outcome.and_then(|answer| Ok(serde_json::to_string(&answer)?)) {
        Ok(json) => {
            let mut response = Response::new(Body::from(json));
            let content_type = HeaderValue::from_static("application/json");
            response.headers_mut().insert(header::CONTENT_TYPE, content_type);
            complete(response, request_id)
        }
        Err(error) => failure(&error, request_id, runtime),
    }
}

pub(crate) fn failure(error: &Error, request_id: &str, runtime: Runtime) -> Response<Body> {
    let response = problem::response(error, request_id);
    let is_server_error = response.status().is_server_error();
    Event::of_error(error, problem::slug(error), is_server_error).log(runtime, Some(request_id));
    complete(response.map(Body::from), request_id)
}

/// The headers that every response has: nothing here is anybody's to keep.
fn complete(mut response: Response<Body>, request_id: &str) -> Response<Body> {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(id) = HeaderValue::from_str(request_id) {
        headers.insert("x-request-id", id);
    }
    response
}
