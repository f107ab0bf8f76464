//! API Gateway's events, before lambda_http reads them.

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, header};
use lambda_http::{aws_lambda_events::query_map::QueryMap, request::LambdaRequest};

use crate::error::{Error, Result};

/// Mends an event before lambda_http reads it. That panics on a body that is said to be base64 and is
/// not, and on a URL that it cannot build from path, query, `Host` and `X-Forwarded-Proto`, of which
/// only the path means anything here; and in REST events it forgets all but the last of a repeated
/// header.
pub(crate) fn sanitize(event: &mut LambdaRequest) -> Result<()> {
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
