//! The events that API Gateway exchanges with functions.

use std::{
    net::SocketAddr,
    time::{SystemTime, UNIX_EPOCH},
};

use axum::{body::Body, response::Response};
use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderName, HeaderValue, StatusCode, header::CONTENT_TYPE, request::Parts};
use pki::hex;
use serde_json::{Map, Value, json};

/// Creates an event of payload format 2.0:
/// https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
pub(super) fn from_request(parts: &Parts, body: &[u8], peer: SocketAddr) -> Value {
    let mut headers = Map::new();
    for name in parts.headers.keys() {
        // API Gateway joins repeated headers with commas.
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

/// Returns true if API Gateway passes on a body as text. It encodes all others in base64, forms
/// included.
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
    // The IDs of API Gateway look like JKJaXmPLvHcESHA=.
    match getrandom::fill(&mut random) {
        Ok(()) => STANDARD.encode(random).replace(['+', '/'], "x"),
        Err(_) => hex(&random),
    }
}

/// Creates the HTTP response from the response of a function, or returns `None` if it is malformed.
pub(super) fn to_response(output: &Value) -> Option<Response> {
    let text = output["body"].as_str().unwrap_or_default();
    let body = match output["isBase64Encoded"].as_bool() {
        Some(true) => STANDARD.decode(text).ok()?,
        _ => text.as_bytes().to_vec(),
    };
    let status = u16::try_from(output["statusCode"].as_u64()?).ok()?;
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(status).ok()?;
    for (name, value) in output["headers"].as_object()? {
        let name = HeaderName::try_from(name).ok()?;
        response.headers_mut().insert(name, HeaderValue::try_from(value.as_str()?).ok()?);
    }
    Some(response)
}
