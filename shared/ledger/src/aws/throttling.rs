//! AWS error codes for throttling.

use aws_runtime::retries::classifiers::THROTTLING_ERRORS;

/// Codes in the cancellation reasons of DynamoDB's transactions.
const IN_CANCELLATION_REASONS: [&str; 2] = ["ThrottlingError", "ProvisionedThroughputExceeded"];

/// Returns true for the codes that the SDK's retries treat as throttling, and for those in DynamoDB's
/// cancellation reasons.
pub(crate) fn is_throttling(code: &str) -> bool {
    THROTTLING_ERRORS.contains(&code) || IN_CANCELLATION_REASONS.contains(&code)
}
