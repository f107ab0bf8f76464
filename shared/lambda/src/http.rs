//! HTTP requests from API Gateway, and responses to them.

use std::{net::IpAddr, time::Duration};

use http::{HeaderValue, header};
use lambda_http::{Body, Request, RequestExt, Response, request::RequestContext};
use ledger::{Deadline, store::Arrival};
use pki::clock::Timestamp;
use serde::Serialize;

use crate::{
    audit::{Caller, Event},
    error::{CredentialFault, Error, Result},
    problem,
    runtime::Runtime,
};

/// Returns API Gateway's id of the request, which is also in its access log, or else Lambda's id.
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

/// The time in which a request is answered if Lambda does not say, as when the functions run locally.
const DEFAULT_TIME: Duration = Duration::from_secs(20);
/// Lambda's limit for any function.
const LONGEST_TIME: Duration = Duration::from_secs(15 * 60);
/// Half a second to write and log the response before Lambda ends the function, and one second because a
/// [`Timestamp`] has no fractions.
const TO_RESPOND: Duration = Duration::from_millis(1500);

/// Returns the time by which the work for a request that arrived at `now` must end, so that the caller gets a
/// response before Lambda ends the function.
#[must_use]
pub fn deadline(request: &Request, now: Timestamp) -> Deadline {
    // In milliseconds since the Unix epoch.
    let end = request.lambda_context_ref().map(|context| context.deadline).filter(|end| *end > 0);
    let time = end.map_or(DEFAULT_TIME, |end| {
        Duration::from_millis(end.saturating_sub(now.unix() * 1000)).min(LONGEST_TIME)
    });
    Deadline::after(time).leaving(TO_RESPOND)
}

/// Returns the time at which a request reached API Gateway, or else `now`.
#[must_use]
pub fn arrival(request: &Request, now: Timestamp) -> Arrival {
    let millis = match request.request_context_ref() {
        Some(RequestContext::ApiGatewayV1(context)) => context.request_time_epoch,
        Some(RequestContext::ApiGatewayV2(context)) => context.time_epoch,
        _ => 0,
    };
    match u64::try_from(millis) {
        Ok(millis @ 1..) => Arrival::from_unix_millis(millis),
        _ => now.into(),
    }
}

/// Returns the caller's address as API Gateway saw it. Headers such as `X-Forwarded-For` are ignored,
/// because the caller can set them.
#[must_use]
pub fn source_address(request: &Request) -> Option<IpAddr> {
    let address = match request.request_context_ref() {
        Some(RequestContext::ApiGatewayV1(context)) => context.identity.source_ip.as_deref(),
        Some(RequestContext::ApiGatewayV2(context)) => context.http.source_ip.as_deref(),
        _ => None,
    };
    address?.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

/// Checks that a request is for `path`, in any stage, with one of the methods in `allow`, a value of the
/// `Allow` header.
///
/// # Errors
/// [`Error::NotFound`] for another path, [`Error::MethodNotAllowed`] for another method.
pub fn expect_route(request: &Request, allow: &'static str, path: &'static str) -> Result<()> {
    let stage = match request.request_context_ref() {
        Some(RequestContext::ApiGatewayV1(context)) => context.stage.as_deref(),
        Some(RequestContext::ApiGatewayV2(context)) => context.stage.as_deref(),
        _ => None,
    };
    let raw = request.raw_http_path();
    let path_in_stage = stage
        .and_then(|stage| raw.strip_prefix('/')?.strip_prefix(stage))
        .filter(|rest| rest.starts_with('/'))
        .unwrap_or(raw);
    match () {
        () if path_in_stage != path => Err(Error::NotFound),
        () if !allow.split(", ").any(|method| method == request.method()) => {
            Err(Error::MethodNotAllowed { allow })
        }
        () => Ok(()),
    }
}

/// Returns the only value of the header `name`.
///
/// # Errors
/// If the header is missing, sent more than once, or not ASCII.
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
                // HTTP APIs join repeated headers with commas, which tokens never contain.
                joined if joined.contains(',') => Err(CredentialFault::Misplaced),
                value => Ok(value),
            }
        }
        (Some(_), Some(_)) => Err(CredentialFault::Misplaced),
    }
}

/// Returns the body.
///
/// # Errors
/// [`Error::BodyTooLarge`] if the body has more than `limit` bytes.
pub fn body(request: &Request, limit: usize) -> Result<&[u8]> {
    let body: &[u8] = request.body().as_ref();
    if body.len() > limit { Err(Error::BodyTooLarge { limit }) } else { Ok(body) }
}

/// Returns the content type in lower case without its parameters, or none if there is no such header. A
/// value that is not ASCII is returned as `""`, which no operation supports.
#[must_use]
pub fn media_type(request: &Request) -> Option<String> {
    let value = request.headers().get(header::CONTENT_TYPE)?.to_str().unwrap_or_default();
    Some(value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

/// Creates the response to a request of `caller`: JSON, or a problem document, whose cause is logged.
pub fn respond(
    request_id: &str,
    runtime: Runtime,
    caller: Option<Caller>,
    outcome: Result<impl Serialize>,
) -> Response<Body> {
    match outcome.and_then(|answer| Ok(serde_json::to_string(&answer)?)) {
        Ok(json) => {
            let mut response = Response::new(Body::from(json));
            let content_type = HeaderValue::from_static("application/json");
            response.headers_mut().insert(header::CONTENT_TYPE, content_type);
            complete(response, request_id)
        }
        Err(error) => failure(&error, request_id, caller, runtime),
    }
}

/// Creates the problem document of `error` and logs its cause.
pub(crate) fn failure(
    error: &Error,
    request_id: &str,
    caller: Option<Caller>,
    runtime: Runtime,
) -> Response<Body> {
    let response = problem::response(error, request_id);
    let is_server_error = response.status().is_server_error();
    Event::from_error(error, problem::slug(error), caller, is_server_error)
        .log(runtime, Some(request_id));
    complete(response.map(Body::from), request_id)
}

/// Adds the headers of every response. Caches must not store responses, which may contain secrets.
fn complete(mut response: Response<Body>, request_id: &str) -> Response<Body> {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(id) = HeaderValue::from_str(request_id) {
        headers.insert("x-request-id", id);
    }
    response
}

#[cfg(test)]
mod tests {
    use lambda_http::aws_lambda_events::apigw::{
        ApiGatewayProxyRequestContext, ApiGatewayV2httpRequestContext,
    };
    use lambda_runtime::Context;

    use super::*;

    #[tokio::test]
    async fn a_deadline_leaves_time_to_respond() {
        let now = Timestamp::from_unix(1_000);
        for (end, seconds) in [
            (0, 18.5),
            (1_010_000, 8.5),
            (1_010_250, 8.75),
            (1_001_500, 0.0),
            (999_000, 0.0),
            (u64::MAX, 898.5),
        ] {
            let mut context = Context::default();
            context.deadline = end;
            let request = Request::default().with_lambda_context(context);
            let expected = Duration::from_secs_f64(seconds);
            let earliest = Deadline::after(expected);
            let deadline = deadline(&request, now);
            let latest = Deadline::after(expected);
            // One that is past may lie anywhere before.
            assert!(deadline <= latest && (deadline >= earliest || seconds == 0.0), "{end}");
        }
    }

    #[test]
    fn a_request_arrives_when_api_gateway_says() {
        let now = Timestamp::from_unix(1_000);
        let of_the_clock = Arrival::from(now);
        assert_eq!(arrival(&Request::default(), now), of_the_clock);
        let said = Arrival::from_unix_millis(1_795_255_200_123);
        for (millis, expected) in [(1_795_255_200_123, said), (0, of_the_clock), (-1, of_the_clock)]
        {
            let mut rest = ApiGatewayProxyRequestContext::default();
            rest.request_time_epoch = millis;
            let mut http = ApiGatewayV2httpRequestContext::default();
            http.time_epoch = millis;
            for context in [RequestContext::ApiGatewayV1(rest), RequestContext::ApiGatewayV2(http)]
            {
                let request = Request::default().with_request_context(context);
                assert_eq!(arrival(&request, now), expected, "{millis}");
            }
        }
    }
}
