//! Error responses, as AWS words them.

use http::{Response, StatusCode};
use hyper::body::Bytes;
use serde_json::{Value, json};

use crate::faults::fault::Service;

/// A response of AWS.
pub(super) type Answer = Response<Bytes>;

/// Returns the response of a service that throttles.
pub(super) fn throttled(service: Service) -> Answer {
    match service {
        Service::S3 => s3(StatusCode::SERVICE_UNAVAILABLE, "SlowDown"),
        _ => json_error(StatusCode::BAD_REQUEST, "ThrottlingException", Value::Null),
    }
}

/// Returns the response of a service that fails.
pub(super) fn failed(service: Service) -> Answer {
    let status = StatusCode::INTERNAL_SERVER_ERROR;
    match service {
        Service::S3 => s3(status, "InternalError"),
        Service::Kms => json_error(status, "KMSInternalException", Value::Null),
        Service::DynamoDb => json_error(status, "InternalServerError", Value::Null),
    }
}

/// Returns DynamoDB's response to a single write on an item that a transaction is writing, or
/// S3's to a conditional write during another one.
pub(super) fn conflict(service: Service) -> Answer {
    match service {
        Service::S3 => s3(StatusCode::CONFLICT, "ConditionalRequestConflict"),
        _ => json_error(StatusCode::BAD_REQUEST, "TransactionConflictException", Value::Null),
    }
}

/// Returns DynamoDB's response to a transaction that is repeated while it is carried out.
pub(super) fn in_progress() -> Answer {
    json_error(StatusCode::BAD_REQUEST, "TransactionInProgressException", Value::Null)
}

/// Returns DynamoDB's response to a transaction of `writes` writes, of which the one at `place` was
/// cancelled for the reason `code`.
pub(super) fn cancelled(writes: usize, place: usize, code: &str) -> Answer {
    let reasons = (0..writes).map(|it| json!({ "Code": if it == place { code } else { "None" } }));
    let reasons = reasons.collect::<Vec<_>>().into();
    json_error(StatusCode::BAD_REQUEST, "TransactionCanceledException", reasons)
}

fn json_error(status: StatusCode, code: &str, reasons: Value) -> Answer {
    let mut body = json!({ "__type": code, "message": "injected by a fault schedule" });
    if !reasons.is_null() {
        body["CancellationReasons"] = reasons;
    }
    answer(status, body.to_string())
}

fn s3(status: StatusCode, code: &str) -> Answer {
    answer(status, format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code></Error>"))
}

/// Returns a response.
pub(super) fn answer(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(body.into());
    *answer.status_mut() = status;
    answer
}
