//! Mapping of the SDK's errors.

use std::iter::successors;

use aws_runtime::retries::classifiers::TRANSIENT_ERRORS;
use aws_sdk_dynamodb::error::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use super::{conflict::CONFLICT, service::AwsService, throttling::is_throttling};
use crate::error::Error;

/// Maps an SDK error that the caller has no specific handling for.
pub(crate) fn outage<E>(service: AwsService, error: &SdkError<E>) -> Error
where
    E: std::error::Error + ProvideErrorMetadata + 'static,
{
    // The SDK's DisplayErrorContext would add a dump of the whole response.
    let sources = successors(Some(error as &dyn std::error::Error), |error| error.source());
    let cause = sources.map(ToString::to_string).collect::<Vec<_>>().join(": ");
    let code = error.as_service_error().and_then(ProvideErrorMetadata::code);
    let status = error.raw_response().map(|response| response.status());
    match (code, status) {
        (Some(code), _) if is_throttling(code) => Error::Throttled { service, cause },
        (Some(CONFLICT), _) => Error::Contended,
        // S3 answers with 400 if it received no bytes for a while.
        (Some(code), _) if TRANSIENT_ERRORS.contains(&code) => {
            Error::Unavailable { service, cause }
        }
        (Some(_), Some(status)) if status.is_client_error() => Error::Refused { service, cause },
        _ => Error::Unavailable { service, cause },
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::error::ErrorMetadata;
    use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
    use aws_smithy_types::body::SdkBody;

    use super::*;

    #[test]
    fn the_code_decides_before_the_status() {
        let mapped = |status: u16, code: &str| {
            let response = HttpResponse::new(status.try_into().unwrap(), SdkBody::empty());
            let error = ErrorMetadata::builder().code(code).build();
            let error = aws_sdk_s3::operation::put_object::PutObjectError::generic(error);
            outage(AwsService::S3, &SdkError::service_error(error, response))
        };
        assert!(matches!(mapped(503, "SlowDown"), Error::Throttled { .. }));
        assert!(matches!(mapped(400, "PriorRequestNotComplete"), Error::Throttled { .. }));
        assert!(matches!(mapped(400, "ThrottlingError"), Error::Throttled { .. }));
        assert!(matches!(mapped(400, "RequestTimeout"), Error::Unavailable { .. }));
        assert!(matches!(mapped(400, CONFLICT), Error::Contended));
        assert!(matches!(mapped(403, "AccessDenied"), Error::Refused { .. }));
        assert!(matches!(mapped(500, "InternalError"), Error::Unavailable { .. }));
    }
}
