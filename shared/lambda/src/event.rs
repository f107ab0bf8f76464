//! Sanitizes API Gateway's events before `lambda_http` reads them.

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, header};
use lambda_http::{aws_lambda_events::query_map::QueryMap, request::LambdaRequest};

use crate::error::{Error, Result};

/// Sanitizes an event, because `lambda_http`
///
/// - panics on a body that is marked as base64 and is not,
/// - panics if path, query, `Host` and `X-Forwarded-Proto` do not form a URL, of which only the path is
///   used here,
/// - drops all but the last value of a repeated header in events of REST APIs.
pub(crate) fn sanitize(event: &mut LambdaRequest) -> Result<()> {
    let (path, body, is_base64) = match event {
        LambdaRequest::ApiGatewayV1(event) => {
            if event.multi_value_headers.is_empty() {
                remove_origin(&mut event.headers);
            } else {
                event.headers.clear();
                remove_origin(&mut event.multi_value_headers);
            }
            event.request_context.domain_name = None;
            event.query_string_parameters = QueryMap::default();
            event.multi_value_query_string_parameters = QueryMap::default();
            (&mut event.path, &mut event.body, &mut event.is_base64_encoded)
        }
        LambdaRequest::ApiGatewayV2(event) => {
            remove_origin(&mut event.headers);
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

fn remove_origin(headers: &mut HeaderMap) {
    headers.remove(header::HOST);
    headers.remove("x-forwarded-proto");
}
