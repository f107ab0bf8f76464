//! The error responses of S3.

use axum::response::{IntoResponse, Response};
use http::{StatusCode, header::CONTENT_TYPE};

/// Creates an error response of S3.
pub(super) fn error_response(status: StatusCode, code: &str) -> Response {
    let body =
        format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code></Error>");
    (status, [(CONTENT_TYPE, "application/xml")], body).into_response()
}
