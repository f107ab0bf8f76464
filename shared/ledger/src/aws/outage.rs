//! Mapping of the SDK's errors.

use std::iter::successors;

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
        (Some(_), Some(status)) if status.is_client_error() => Error::Refused { service, cause },
        _ => Error::Unavailable { service, cause },
    }
}
