//! The error codes by which AWS asks for a slower pace.

/// The codes that the SDK's own retries treat as throttling, and those in cancellation reasons.
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
            | "RequestLimitExceeded"
            | "LimitExceededException"
            | "RequestThrottled"
            | "SlowDown"
    )
}
