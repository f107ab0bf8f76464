//! The start of a function, and its responses to API Gateway's events.

use std::{future::Future, process::ExitCode};

use lambda_http::{Adapter, Body, LambdaEvent, Request, Response, request::LambdaRequest};
use lambda_runtime::tower::ServiceExt;
use ledger::aws::meter;
use serde::Serialize;

use crate::{
    audit::Event,
    config::{self, Config},
    error::{Error, Result},
    event::sanitize,
    http::{failure, request_id},
    runtime::Runtime,
};

/// The warning about a deployment that admits every root.
const ROOT_NOT_PINNED: &str = "ROOT_SHA256 is none, so whoever can write the table can make devices trust another \
     root: after the root ceremony, set the parameter RootSha256";

/// Runs a function: reads the configuration and passes it to `serve`. Logs the error if `serve` fails.
pub async fn main(serve: impl AsyncFnOnce(Config) -> Result<()>) -> ExitCode {
    let served = async {
        // First, because lambda_runtime panics without these variables.
        config::check_runtime(config::environment)?;
        let config = Config::read(config::environment)?;
        if config.roots.is_empty() {
            Event::RootNotPinned { advice: ROOT_NOT_PINNED }.log(Runtime::LAMBDA, None);
        }
        serve(config).await
    };
    match served.await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            Event::StartFailed { cause: error.to_string() }.log(Runtime::LAMBDA, None);
            ExitCode::FAILURE
        }
    }
}

/// Logs the transient errors among the outcomes of checks at start, so that the function starts
/// nevertheless and the first request retries.
///
/// # Errors
/// If an error is permanent. Then nothing is logged, because [`main`] logs it.
pub fn tolerate_transient(
    outcomes: impl IntoIterator<Item = Result<(), impl Into<Error>>>,
    runtime: Runtime,
) -> Result<()> {
    let mut transient = Vec::new();
    for outcome in outcomes {
        match outcome.map_err(Into::into) {
            Err(error) if !error.is_transient() => return Err(error),
            outcome => transient.extend(outcome.err()),
        }
    }
    for error in transient {
        Event::StartDegraded { cause: error.to_string() }.log(runtime, None);
    }
    Ok(())
}

/// Serves events of HTTP APIs and REST APIs with `handler` until Lambda ends the process.
///
/// # Errors
/// If the Lambda runtime API is unavailable.
pub async fn run<H, F>(runtime: Runtime, handler: H) -> Result<()>
where
    H: Fn(Request) -> F,
    F: Future<Output = Response<Body>> + Send,
{
    let handler = &handler;
    lambda_runtime::run(lambda_runtime::service_fn(move |event| answer(event, runtime, handler)))
        .await
        .map_err(|error| Error::Runtime(error.to_string()))
}

/// Answers one event with `handler`.
///
/// # Errors
/// Never. The runtime requires the type.
pub async fn answer<H, F>(
    mut event: LambdaEvent<LambdaRequest>,
    runtime: Runtime,
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
            Some(error) => Err(failure(&error, &request_id(&request), None, runtime)),
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

#[cfg(test)]
mod tests {
    use http::HeaderName;
    use lambda_runtime::Context;
    use serde_json::{Value, json};

    use super::*;
    use crate::http::{expect_route, respond, single_header, source_address};

    const TOKEN: HeaderName = HeaderName::from_static("thistle-device-enrollment-token");
    const QUIET: Runtime = Runtime { log: |_| {}, ..Runtime::LAMBDA };

    fn event(name: &str) -> Value {
        let events = concat!(env!("CARGO_MANIFEST_DIR"), "/../../events");
        serde_json::from_str(&std::fs::read_to_string(format!("{events}/{name}.json")).unwrap())
            .unwrap()
    }

    /// Returns status and body of the response of `handler` to an event.
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
        respond(&request_id(request), QUIET, None, outcome)
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
    async fn a_repeated_header_is_refused() {
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
    async fn the_source_address_comes_from_the_gateway_and_not_from_headers() {
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
    async fn a_malformed_url_does_not_panic() {
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
    async fn other_paths_and_methods_are_refused_in_every_stage() {
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
