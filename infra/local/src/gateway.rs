//! API Gateway, as far as the functions can tell: HTTP requests become events of an HTTP API
//! (payload format 2.0), and what the functions answer becomes HTTP again.

use std::{
    future::Future,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::Context as _;
use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{ConnectInfo, Request, State},
    response::Response,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use enroll::Enroll;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header::CONTENT_TYPE, request::Parts};
use identity::Identity;
use lambda::runtime::Runtime;
use lambda_http::{Context, LambdaEvent, request::LambdaRequest};
use pki::hex;
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;

use crate::bucket::{self, Files};

/// Quotas of an HTTP API:
/// https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html
const MAX_BODY: usize = 10 * 1024 * 1024;
const MAX_HEADERS: usize = 10_240;
const TIMEOUT: Duration = Duration::from_secs(30);

/// The functions behind the API.
pub struct Functions {
    /// The time and the log of both.
    pub world: Runtime,
    /// `POST /enroll`, and what no route matches.
    pub enroll: Enroll,
    /// `/identity`.
    pub identity: Identity,
    /// What the CDN serves, in whose place the gateway is: `/crl/`, `/ca/` and `/denied/`.
    pub published: Option<Arc<Files>>,
}

/// Listens on `address`, and warns when that lets others in.
///
/// # Errors
/// When the address cannot be had; the message says what to try.
pub async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen on {address}; --listen 127.0.0.1:0 takes a free port")
    })?;
    if !address.ip().is_loopback() {
        eprintln!("WARNING: {address} is no loopback address, others on the network can enroll");
    }
    Ok(listener)
}

/// Serves `functions` on `listener` until `shutdown`.
///
/// # Errors
/// When the listener fails.
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
    let published = |files: &Arc<Files>| {
        bucket::published(files, &parts.method, parts.uri.path(), &parts.headers)
    };
    if let Some(answer) = functions.published.as_ref().and_then(published) {
        return answer;
    }
    let size = |headers: &HeaderMap| {
        headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum::<usize>()
    };
    if size(&parts.headers) > MAX_HEADERS {
        return of_gateway(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    }
    let Ok(body) = to_bytes(body, MAX_BODY).await else {
        return of_gateway(StatusCode::PAYLOAD_TOO_LARGE);
    };
    let event = event(&parts, &body, peer);
    // A task of its own, as a Lambda is a process of its own: a panic ends the one invocation.
    let invocation = tokio::spawn(invoke(functions, event));
    match tokio::time::timeout(TIMEOUT, invocation).await {
        Ok(Ok(Some(answer))) => answer,
        Ok(Ok(None) | Err(_)) => of_gateway(StatusCode::INTERNAL_SERVER_ERROR),
        Err(_) => of_gateway(StatusCode::SERVICE_UNAVAILABLE),
    }
}

/// The routes of the template: `/identity` has a function of its own, `/enroll`'s has the rest.
async fn invoke(functions: Arc<Functions>, event: Value) -> Option<Response> {
    // From text, as from Lambda: lambda_http's type can only be read from that.
    let payload: LambdaRequest = serde_json::from_str(&event.to_string()).ok()?;
    let invocation = LambdaEvent::new(payload, Context::default());
    let is_identity = event["rawPath"] == "/identity";
    let world = functions.world;
    let handler = move |request| {
        let functions = functions.clone();
        async move {
            match is_identity {
                true => functions.identity.handle(request).await,
                false => functions.enroll.handle(request).await,
            }
        }
    };
    let answer = lambda::function::answer(invocation, world, handler).await.ok()?;
    response(&serde_json::to_value(answer).ok()?)
}

/// An event of payload format 2.0:
/// https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
fn event(parts: &Parts, body: &[u8], peer: SocketAddr) -> Value {
    let mut headers = Map::new();
    for name in parts.headers.keys() {
        // Repeated headers are joined with commas.
        let values = parts.headers.get_all(name).iter().map(HeaderValue::as_bytes);
        let values: Vec<_> = values.map(String::from_utf8_lossy).collect();
        headers.insert(name.as_str().to_owned(), values.join(",").into());
    }
    let content_type = parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let (body, is_base64) = match str::from_utf8(body) {
        Ok(text) if is_text(content_type) => (text.to_owned(), false),
        _ => (STANDARD.encode(body), true),
    };
    let epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let path = parts.uri.path();
    json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": parts.uri.query().unwrap_or_default(),
        "headers": headers,
        "requestContext": {
            "accountId": "000000000000",
            "apiId": "local",
            "domainName": "localhost",
            "domainPrefix": "local",
            "http": {
                "method": parts.method.as_str(),
                "path": path,
                "protocol": format!("{:?}", parts.version),
                "sourceIp": peer.ip().to_string(),
                "userAgent": headers.get("user-agent").cloned().unwrap_or_default(),
            },
            "requestId": request_id(),
            "routeKey": "$default",
            "stage": "$default",
            "timeEpoch": epoch.as_millis() as u64,
        },
        "body": if body.is_empty() { Value::Null } else { body.into() },
        "isBase64Encoded": is_base64,
    })
}

/// API Gateway hands over text as it is and everything else, forms included, in base64.
fn is_text(content_type: Option<&str>) -> bool {
    let media_type = content_type.unwrap_or("text/plain").split(';').next().unwrap_or_default();
    let media_type = media_type.trim().to_ascii_lowercase();
    media_type.starts_with("text/")
        || media_type.ends_with("json")
        || media_type.ends_with("xml")
        || media_type == "application/javascript"
}

fn request_id() -> String {
    let mut random = [0u8; 11];
    // API Gateway's ids look like JKJaXmPLvHcESHA=.
    match getrandom::fill(&mut random) {
        Ok(()) => STANDARD.encode(random).replace(['+', '/'], "x"),
        Err(_) => hex(&random),
    }
}

fn response(answer: &Value) -> Option<Response> {
    let text = answer["body"].as_str().unwrap_or_default();
    let body = match answer["isBase64Encoded"].as_bool() {
        Some(true) => STANDARD.decode(text).ok()?,
        _ => text.as_bytes().to_vec(),
    };
    let status = u16::try_from(answer["statusCode"].as_u64()?).ok()?;
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(status).ok()?;
    for (name, value) in answer["headers"].as_object()? {
        let name = HeaderName::try_from(name).ok()?;
        response.headers_mut().insert(name, HeaderValue::try_from(value.as_str()?).ok()?);
    }
    Some(response)
}

/// What API Gateway says by itself.
fn of_gateway(status: StatusCode) -> Response {
    let message = status.canonical_reason().unwrap_or_default();
    let mut response = Response::new(Body::from(json!({ "message": message }).to_string()));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}
