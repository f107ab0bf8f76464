//! A stand-in for API Gateway: it converts HTTP requests into events of an HTTP API (payload format
//! 2.0), and the responses of the functions into HTTP responses.

mod event;

use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{ConnectInfo, Request, State},
    response::Response,
};
use enroll::Enroll;
use http::{HeaderMap, HeaderValue, StatusCode, header::CONTENT_TYPE};
use identity::Identity;
use lambda::runtime::Runtime;
use lambda_http::{Context, LambdaEvent, request::LambdaRequest};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::bucket::{self, Objects};

/// The quotas of an HTTP API:
/// https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html
const MAX_BODY: usize = 10 * 1024 * 1024;
const MAX_HEADERS: usize = 10_240;
const TIMEOUT: Duration = Duration::from_secs(30);

/// The functions behind the API.
pub struct Functions {
    /// The clock and the log of both functions.
    pub runtime: Runtime,
    /// The function for `POST /enroll` and for every path without a route.
    pub enroll: Enroll,
    /// The function for `/identity`.
    pub identity: Identity,
    /// The objects under `/crl/`, `/ca/` and `/denied/`, which the gateway serves in place of the CDN.
    pub published: Option<Arc<Objects>>,
}

/// Listens on `address`, and warns if the network can reach it.
///
/// # Errors
/// If the address is unavailable; the message says what to try.
pub(crate) async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen on {address}; use --listen 127.0.0.1:0 for a free port")
    })?;
    if !address.ip().is_loopback() {
        eprintln!(
            "WARNING: {address} is not a loopback address: others on the network can enroll devices"
        );
    }
    Ok(listener)
}

/// Serves `functions` on `listener` until `shutdown` completes.
///
/// # Errors
/// If the listener fails.
pub async fn serve(
    listener: TcpListener,
    functions: Arc<Functions>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let router = Router::new().fallback(handle).with_state(functions);
    axum::serve(listener, router.into_make_service_with_connect_info::<SocketAddr>())
        .with_graceful_shutdown(shutdown)
        .await
}

async fn handle(
    State(functions): State<Arc<Functions>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let published = |objects: &Arc<Objects>| {
        bucket::published(objects, &parts.method, parts.uri.path(), &parts.headers)
    };
    if let Some(response) = functions.published.as_ref().and_then(published) {
        return response;
    }
    let size = |headers: &HeaderMap| {
        headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum::<usize>()
    };
    if size(&parts.headers) > MAX_HEADERS {
        return error_response(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    }
    let Ok(body) = to_bytes(body, MAX_BODY).await else {
        return error_response(StatusCode::PAYLOAD_TOO_LARGE);
    };
    let event = event::from_request(&parts, &body, peer);
    // A separate task, as Lambda has separate processes: a panic ends only this invocation.
    let invocation = tokio::spawn(invoke(functions, event));
    match tokio::time::timeout(TIMEOUT, invocation).await {
        Ok(Ok(Some(response))) => response,
        Ok(Ok(None) | Err(_)) => error_response(StatusCode::INTERNAL_SERVER_ERROR),
        Err(_) => error_response(StatusCode::SERVICE_UNAVAILABLE),
    }
}

/// Invokes the function that the template routes the event to: one function handles `/identity`, the
/// other everything else.
async fn invoke(functions: Arc<Functions>, event: Value) -> Option<Response> {
    // Serialized first: the type of lambda_http can only be deserialized from text.
    let payload: LambdaRequest = serde_json::from_str(&event.to_string()).ok()?;
    let invocation = LambdaEvent::new(payload, Context::default());
    let is_identity = event["rawPath"] == "/identity";
    let runtime = functions.runtime;
    let handler = move |request| {
        let functions = functions.clone();
        async move {
            match is_identity {
                true => functions.identity.handle(request).await,
                false => functions.enroll.handle(request).await,
            }
        }
    };
    let output = lambda::function::answer(invocation, runtime, handler).await.ok()?;
    event::to_response(&serde_json::to_value(output).ok()?)
}

/// Creates an error response of API Gateway itself.
fn error_response(status: StatusCode) -> Response {
    let message = status.canonical_reason().unwrap_or_default();
    let mut response = Response::new(Body::from(json!({ "message": message }).to_string()));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}
