//! AWS error codes for throttling.

/// Returns true for the codes that the SDK's retries treat as throttling, and for those in DynamoDB's
/// cancellation reasons.
pub(crate) fn is_throttling(code: &str) -> bool {
    matches!(
        code,
        "Throttling"
            | "ThrottlingException"
            | "ThrottlingError"
            | "ThrottledException"
            | "RequestThrottledException"
            | "TooManyRequestsException"
            | "ProvisionedThroughputExceededException"
            | "ProvisionedThroughputExceeded"
            | "TransactionInProgressException"
            | "RequestLimitExceeded"
            | "LimitExceededException"
            | "RequestThrottled"
            | "SlowDown"
    )
}
