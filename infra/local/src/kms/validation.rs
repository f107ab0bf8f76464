//! The constraints of AWS's API model, and the validation errors that AWS returns for violations.

use std::ops::RangeInclusive;

use super::{
    blob::Blob,
    error::{ErrorCode, KmsError},
};

/// Returns the value of a required member. The request types declare these members as optional
/// because AWS does not report a missing one as a serialization error.
pub(super) fn required<T>(value: Option<T>, member: &str) -> Result<T, KmsError> {
    value.ok_or_else(|| violation(&format!("Value null at '{member}'"), "Member must not be null"))
}

/// Checks the length of a string, in characters.
pub(super) fn check_length(
    text: &str,
    member: &str,
    allowed: RangeInclusive<i64>,
) -> Result<(), KmsError> {
    let length = i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
    check_bounds(&format!("Value '{text}' at '{member}'"), "length", length, allowed)
}

/// Checks the length of a blob, in bytes. As in AWS, the error does not quote the value.
pub(super) fn check_blob_length(
    blob: &Blob,
    member: &str,
    allowed: RangeInclusive<i64>,
) -> Result<(), KmsError> {
    let length = i64::try_from(blob.0.len()).unwrap_or(i64::MAX);
    check_bounds(&format!("Value at '{member}'"), "length", length, allowed)
}

/// Checks the range of a number.
pub(super) fn check_range(
    value: i64,
    member: &str,
    allowed: RangeInclusive<i64>,
) -> Result<(), KmsError> {
    check_bounds(&format!("Value '{value}' at '{member}'"), "value", value, allowed)
}

/// Checks that a string is a value of an enumeration.
pub(super) fn check_enum(text: &str, member: &str, allowed: &[&str]) -> Result<(), KmsError> {
    if allowed.contains(&text) {
        return Ok(());
    }
    let rule = format!("Member must satisfy enum value set: [{}]", allowed.join(", "));
    Err(violation(&format!("Value '{text}' at '{member}'"), &rule))
}

/// Checks that a string consists of `allowed` characters. AWS writes this rule as `pattern`.
pub(super) fn check_pattern(
    text: &str,
    member: &str,
    pattern: &str,
    allowed: impl Fn(char) -> bool,
) -> Result<(), KmsError> {
    if text.chars().all(allowed) {
        return Ok(());
    }
    let rule = format!("Member must satisfy regular expression pattern: {pattern}");
    Err(violation(&format!("Value '{text}' at '{member}'"), &rule))
}

fn check_bounds(
    subject: &str,
    quantity: &str,
    actual: i64,
    allowed: RangeInclusive<i64>,
) -> Result<(), KmsError> {
    let (relation, bound) = match actual {
        low if low < *allowed.start() => ("greater", allowed.start()),
        high if high > *allowed.end() => ("less", allowed.end()),
        _ => return Ok(()),
    };
    let rule = format!("Member must have {quantity} {relation} than or equal to {bound}");
    Err(violation(subject, &rule))
}

fn violation(subject: &str, rule: &str) -> KmsError {
    let message =
        format!("1 validation error detected: {subject} failed to satisfy constraint: {rule}");
    KmsError::new(ErrorCode::Validation, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_the_wording_of_aws() {
        let text = |outcome: Result<(), KmsError>| outcome.err().unwrap().message;
        assert_eq!(
            text(check_range(6, "pendingWindowInDays", 7..=30)),
            "1 validation error detected: Value '6' at 'pendingWindowInDays' failed to satisfy \
             constraint: Member must have value greater than or equal to 7"
        );
        assert_eq!(
            text(check_blob_length(&Blob(vec![0; 4097]), "message", 1..=4096)),
            "1 validation error detected: Value at 'message' failed to satisfy constraint: Member \
             must have length less than or equal to 4096"
        );
        assert_eq!(
            text(required::<()>(None, "keyId")),
            "1 validation error detected: Value null at 'keyId' failed to satisfy constraint: \
             Member must not be null"
        );
    }

    #[test]
    fn bounds_are_inclusive() {
        assert!(check_range(7, "n", 7..=30).is_ok() && check_range(30, "n", 7..=30).is_ok());
        assert!(check_length("äöü", "t", 3..=3).is_ok());
    }
}
