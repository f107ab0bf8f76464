//! The face towards AWS Lambda: API Gateway events in, responses out.

use std::{future::Future, net::IpAddr, process::ExitCode};

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderValue, header};
use lambda_http::{
    Adapter, Body, LambdaEvent, Request, RequestExt, Response,
    aws_lambda_events::query_map::QueryMap,
    request::{LambdaRequest, RequestContext},
};
use lambda_runtime::tower::ServiceExt;
use serde::Serialize;

use crate::{
    audit::Event,
    config::{self, Config},
    error::{Error, Rejection, Result},
    meter, problem,
    world::World,
};

/// Runs a function: what `serve` makes of its environment. What keeps it from serving becomes one
/// line in the log.
pub async fn main(serve: impl AsyncFnOnce(Config) -> Result<()>) -> ExitCode {
    let serves = async {
        // Before anything else: lambda_runtime panics without them.
        config::check_runtime(config::environment)?;
        serve(Config::read(config::environment)?).await
    };
    match serves.await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            Event::Unable { cause: error.to_string() }.log(World::REAL, None);
            ExitCode::FAILURE
        }
    }
}

/// What a start may go on without: errors that may be over in a moment are logged, and the first
/// request tries again.
///
/// # Errors
/// The first that will not be over by itself; then nothing is logged here, because [`main`] does.
pub fn unless_transient(
    outcomes: impl IntoIterator<Item = Result<()>>,
    world: World,
) -> Result<()> {
    let mut delayed = Vec::new();
    for outcome in outcomes {
        match outcome {
            Err(error) if !error.is_transient() => return Err(error),
            outcome => delayed.extend(outcome.err()),
        }
    }
    for error in delayed {
        Event::Delayed { cause: error.to_string() }.log(world, None);
    }
    Ok(())
}

/// Serves API Gateway's events, of HTTP APIs and REST APIs alike, with `handler`, until Lambda ends
/// the process.
///
/// # Errors
/// When the runtime's API cannot be reached.
pub async fn run<H, F>(world: World, handler: H) -> Result<()>
where
    H: Fn(Request) -> F,
    F: Future<Output = Response<Body>> + Send,
{
    let handler = &handler;
    lambda_runtime::run(lambda_runtime::service_fn(move |event| answer(event, world, handler)))
        .await
        .map_err(|error| Error::Runtime(error.to_string()))
}

/// Answers one event with `handler`.
///
/// # Errors
/// Never; the runtime wants the type.
pub async fn answer<H, F>(
    mut event: LambdaEvent<LambdaRequest>,
    world: World,
    handler: H,
) -> std::result::Result<impl Serialize + use<H, F>, lambda_runtime::Error>
where
    H: Fn(Request) -> F,
    F: Future<Output = Response<Body>> + Send,
{
    let mut unreadable = sanitize(&mut event.payload).err();
    let service = lambda_runtime::service_fn(move |request: Request| {
        let answer = match unreadable.take() {
            None => Ok(handler(request)),
            Some(error) => Err(failure(&error, &request_id(&request), world)),
        };
        async move {
            Ok::<_, lambda_runtime::Error>(match answer {
                Ok(answer) => answer.await,
                Err(response) => response,
            })
        }
    });
    let function = event.context.env_config.function_name.clone();
    meter::measure(function, Adapter::from(service).oneshot(event)).await
}

/// Mends an event before lambda_http reads it. That panics on a body that is said to be base64 and is
/// not, and on a URL that it cannot build from path, query, `Host` and `X-Forwarded-Proto`, of which
/// only the path means anything here; and in REST events it forgets all but the last of a repeated
/// header.
fn sanitize(event: &mut LambdaRequest) -> Result<()> {
    let (path, body, is_base64) = match event {
        LambdaRequest::ApiGatewayV1(event) => {
            if event.multi_value_headers.is_empty() {
                without_origin(&mut event.headers);
            } else {
                event.headers.clear();
                without_origin(&mut event.multi_value_headers);
            }
            event.request_context.domain_name = None;
            event.query_string_parameters = QueryMap::default();
            event.multi_value_query_string_parameters = QueryMap::default();
            (&mut event.path, &mut event.body, &mut event.is_base64_encoded)
        }
        LambdaRequest::ApiGatewayV2(event) => {
            without_origin(&mut event.headers);
            event.request_context.domain_name = None;
            event.raw_query_string = None;
            (&mut event.raw_path, &mut event.body, &mut event.is_base64_encoded)
        }
        _ => return Ok(()),
    };
    if !path.as_ref().is_some_and(|path| path.starts_with('/')) {
        *path = Some("/".into());
    }
    if *is_base64 && body.as_ref().is_some_and(|body| STANDARD.decode(body).is_err()) {
        *body = None;
        *is_base64 = false;
        return Err(Error::Form("the event's body is not base64"));
    }
    Ok(())
}

fn without_origin(headers: &mut HeaderMap) {
    headers.remove(header::HOST);
    headers.remove("x-forwarded-proto");
}

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
) -> std::result::Result<&'a str, Rejection> {
    let mut values = request.headers().get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Err(Rejection::Missing),
        (Some(value), None) => {
            let value = value.to_str().map_err(|_| Rejection::Malformed)?.trim();
            match value {
                "" => Err(Rejection::Missing),
                // An HTTP API joins repeated headers with commas; no token has one.
                joined if joined.contains(',') => Err(Rejection::Misplaced),
                value => Ok(value),
            }
        }
        (Some(_), Some(_)) => Err(Rejection::Misplaced),
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
pub fn respond(request_id: &str, world: World, outcome: Result<impl Serialize>) -> Response<Body> {
    match outcome.and_then(|answer| {
        serde_json::to_string(&answer).map_err(|error| Error::Incomplete(error.to_string()))
    }) {
        Ok(json) => {
            let mut response = Response::new(Body::from(json));
            let content_type = HeaderValue::from_static("application/json");
            response.headers_mut().insert(header::CONTENT_TYPE, content_type);
            complete(response, request_id)
        }
        Err(error) => failure(&error, request_id, world),
    }
}

fn failure(error: &Error, request_id: &str, world: World) -> Response<Body> {
    let response = problem::response(error, request_id);
    let is_server_error = response.status().is_server_error();
    Event::of_error(error, problem::slug(error), is_server_error).log(world, Some(request_id));
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

#[cfg(test)]
mod tests {
    use http::HeaderName;
    use lambda_runtime::Context;
    use serde_json::{Value, json};

    use super::*;

    const TOKEN: HeaderName = HeaderName::from_static("thistle-device-enrollment-token");
    const QUIET: World = World { log: |_| {}, ..World::REAL };

    fn event(name: &str) -> Value {
        let events = concat!(env!("CARGO_MANIFEST_DIR"), "/../events");
        serde_json::from_str(&std::fs::read_to_string(format!("{events}/{name}.json")).unwrap())
            .unwrap()
    }

    /// What `handler` made of an event: status and body.
    async fn ask<H, F>(event: &Value, handler: H) -> (u64, Value)
    where
        H: Fn(Request) -> F,
        F: Future<Output = Response<Body>> + Send,
    {
        let payload = serde_json::from_str(&event.to_string()).unwrap();
        let answered = answer(LambdaEvent::new(payload, Context::default()), QUIET, handler).await;
        let answer = serde_json::to_value(answered.unwrap()).unwrap();
        let body = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
        (answer["statusCode"].as_u64().unwrap(), body)
    }

    fn outcome(request: &Request, outcome: Result<impl Serialize>) -> Response<Body> {
        respond(&request_id(request), QUIET, outcome)
    }

    #[tokio::test]
    async fn reads_events_of_http_apis_and_rest_apis() {
        for (name, id) in [
            ("enroll", "JKJaXmPLvHcESHA="),
            ("enroll-multipart", "JKJaXmPLvHcESHA="),
            ("rest-enroll", "c6af9ac6-7b61-11e6-9a41-93e8deadbeef"),
        ] {
            let (status, body) = ask(&event(name), |request| async move {
                expect_route(&request, "POST", "/enroll").unwrap();
                assert_eq!(single_header(&request, &TOKEN), Ok("ENROLLMENT_TOKEN"));
                assert!(!request.body().is_empty());
                outcome(&request, Ok(json!({ "id": request_id(&request) })))
            })
            .await;
            assert_eq!((status, &body["id"]), (200, &json!(id)), "{name}");
        }
    }

    #[tokio::test]
    async fn a_repeated_header_is_told_from_a_single_one() {
        let mut http_api = event("enroll");
        http_api["headers"]["thistle-device-enrollment-token"] = "a,b".into();
        let mut rest_api = event("rest-enroll");
        rest_api["multiValueHeaders"]["Thistle-Device-Enrollment-Token"] = json!(["a", "b"]);
        for event in [http_api, rest_api] {
            let handler = |request: Request| async move {
                let found = single_header(&request, &TOKEN).map(drop);
                outcome(&request, found.map_err(Error::EnrollmentToken))
            };
            let (status, body) = ask(&event, handler).await;
            assert_eq!(status, 401);
            assert!(body["detail"].as_str().unwrap().contains("exactly once"));
        }
    }

    #[tokio::test]
    async fn the_source_address_is_the_gateways_word_and_no_headers() {
        for (address, expected) in [
            ("192.0.2.7", Some("192.0.2.7")),
            ("::ffff:192.0.2.7", Some("192.0.2.7")),
            ("2001:DB8::7", Some("2001:db8::7")),
            ("192.0.2.7:443", None),
            ("test-invoke-source-ip", None),
            ("", None),
        ] {
            let mut http_api = event("enroll");
            http_api["requestContext"]["http"]["sourceIp"] = address.into();
            http_api["headers"]["x-forwarded-for"] = "198.51.100.1".into();
            http_api["headers"]["forwarded"] = "for=198.51.100.1".into();
            let mut rest_api = event("rest-enroll");
            rest_api["requestContext"]["identity"]["sourceIp"] = address.into();
            rest_api["multiValueHeaders"]["X-Forwarded-For"] = json!(["198.51.100.1"]);
            for event in [http_api, rest_api] {
                let (_, body) = ask(&event, |request| async move {
                    let address = source_address(&request).map(|it| it.to_string());
                    outcome(&request, Ok(json!({ "address": address })))
                })
                .await;
                assert_eq!(body["address"], json!(expected), "{address}");
            }
        }
    }

    #[tokio::test]
    async fn a_body_that_is_not_base64_is_a_bad_request() {
        for name in ["enroll", "rest-enroll"] {
            let mut event = event(name);
            event["body"] = "%%%".into();
            event["isBase64Encoded"] = true.into();
            let (status, body) = ask(&event, |_| async { panic!("the handler was called") }).await;
            assert_eq!((status, &body["type"]), (400, &json!("/docs/errors.md#invalid-form")));
        }
    }

    #[tokio::test]
    async fn a_url_that_cannot_be_built_is_no_panic() {
        for (path, query, host, scheme) in [
            ("/a b\"<>", "", "example.com", "https"),
            ("", "", "example.com", "https"),
            ("no-slash:99999", "", "example.com", "https"),
            ("//@:x", "", "example.com", "https"),
            ("/\u{0}\u{7f}é", "", "example.com", "https"),
            ("/x", "a b\"é", "example.com", "https"),
            ("/x", "", "a b", "https"),
            ("/x", "", ":::", "https"),
            ("/x", "", "example.com", "a b"),
            ("/x", "", "example.com", ""),
        ] {
            let mut http_api = event("identity");
            http_api["rawPath"] = path.into();
            http_api["rawQueryString"] = query.into();
            http_api["headers"]["host"] = host.into();
            http_api["headers"]["x-forwarded-proto"] = scheme.into();
            let mut rest_api = event("rest-identity");
            rest_api["path"] = path.into();
            rest_api["queryStringParameters"] = json!({ query: query });
            rest_api["multiValueHeaders"]["Host"] = json!([host]);
            rest_api["multiValueHeaders"]["X-Forwarded-Proto"] = json!([scheme]);
            for event in [http_api, rest_api] {
                let handler = |request: Request| async move {
                    outcome(&request, expect_route(&request, "GET, POST", "/identity"))
                };
                assert_eq!(ask(&event, handler).await.0, 404, "{path} {query} {host} {scheme}");
            }
        }
    }

    #[tokio::test]
    async fn other_paths_and_methods_are_refused_whatever_the_stage() {
        for (path, stage, method, status) in [
            ("/enroll", "$default", "POST", 200),
            ("/prod/enroll", "prod", "POST", 200),
            ("/prod/enroll", "$default", "POST", 404),
            ("/enroll/", "$default", "POST", 404),
            ("/production", "prod", "POST", 404),
            ("/enroll", "$default", "GET", 405),
        ] {
            let mut event = event("enroll");
            event["rawPath"] = path.into();
            event["requestContext"]["stage"] = stage.into();
            event["requestContext"]["http"]["method"] = method.into();
            let handler = |request: Request| async move {
                let found = expect_route(&request, "POST", "/enroll");
                outcome(&request, found)
            };
            assert_eq!(ask(&event, handler).await.0, status, "{method} {path} of stage {stage}");
        }
    }
}
