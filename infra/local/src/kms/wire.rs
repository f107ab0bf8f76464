//! AWS JSON: how values look in it, and what AWS says of those that break its model's constraints.

use std::ops::RangeInclusive;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use super::fault::{Code, Fault};

/// Bytes, which JSON carries in base64.
pub(super) struct Blob(pub(super) Vec<u8>);

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map(Self).map_err(D::Error::custom)
    }
}

/// The value of a member that must be there. Members are optional until here because AWS does not
/// call it a serialization error when one is missing.
pub(super) fn required<T>(value: Option<T>, member: &str) -> Result<T, Fault> {
    value.ok_or_else(|| violation(&format!("Value null at '{member}'"), "Member must not be null"))
}

/// Checks a text's length.
pub(super) fn text_length(
    text: &str,
    member: &str,
    allowed: RangeInclusive<i64>,
) -> Result<(), Fault> {
    let length = i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
    bounded(&format!("Value '{text}' at '{member}'"), "length", length, allowed)
}

/// Checks a blob's length. Like AWS, the complaint does not quote it.
pub(super) fn blob_length(
    blob: &Blob,
    member: &str,
    allowed: RangeInclusive<i64>,
) -> Result<(), Fault> {
    let length = i64::try_from(blob.0.len()).unwrap_or(i64::MAX);
    bounded(&format!("Value at '{member}'"), "length", length, allowed)
}

/// Checks a number.
pub(super) fn number(value: i64, member: &str, allowed: RangeInclusive<i64>) -> Result<(), Fault> {
    bounded(&format!("Value '{value}' at '{member}'"), "value", value, allowed)
}

/// Checks that a text is one of an enumeration's.
pub(super) fn one_of(text: &str, member: &str, allowed: &[&str]) -> Result<(), Fault> {
    if allowed.contains(&text) {
        return Ok(());
    }
    let rule = format!("Member must satisfy enum value set: [{}]", allowed.join(", "));
    Err(violation(&format!("Value '{text}' at '{member}'"), &rule))
}

/// Checks that a text is made of `allowed` characters, which AWS writes as `pattern`.
pub(super) fn made_of(
    text: &str,
    member: &str,
    pattern: &str,
    allowed: impl Fn(char) -> bool,
) -> Result<(), Fault> {
    if text.chars().all(allowed) {
        return Ok(());
    }
    let rule = format!("Member must satisfy regular expression pattern: {pattern}");
    Err(violation(&format!("Value '{text}' at '{member}'"), &rule))
}

fn bounded(
    subject: &str,
    quantity: &str,
    actual: i64,
    allowed: RangeInclusive<i64>,
) -> Result<(), Fault> {
    let (relation, bound) = match actual {
        low if low < *allowed.start() => ("greater", allowed.start()),
        high if high > *allowed.end() => ("less", allowed.end()),
        _ => return Ok(()),
    };
    let rule = format!("Member must have {quantity} {relation} than or equal to {bound}");
    Err(violation(subject, &rule))
}

fn violation(subject: &str, rule: &str) -> Fault {
    let message =
        format!("1 validation error detected: {subject} failed to satisfy constraint: {rule}");
    Fault::new(Code::Validation, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complains_in_the_words_of_aws() {
        let text = |outcome: Result<(), Fault>| outcome.err().unwrap().message;
        assert_eq!(
            text(number(6, "pendingWindowInDays", 7..=30)),
            "1 validation error detected: Value '6' at 'pendingWindowInDays' failed to satisfy \
             constraint: Member must have value greater than or equal to 7"
        );
        assert_eq!(
            text(blob_length(&Blob(vec![0; 4097]), "message", 1..=4096)),
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
    fn bounds_belong_to_the_range() {
        assert!(number(7, "n", 7..=30).is_ok() && number(30, "n", 7..=30).is_ok());
        assert!(text_length("äöü", "t", 3..=3).is_ok());
    }

    #[test]
    fn blobs_are_padded_base64() {
        assert_eq!(serde_json::to_string(&Blob(vec![255, 254])).unwrap(), r#""//4=""#);
        assert_eq!(serde_json::from_str::<Blob>(r#""//4=""#).ok().unwrap().0, [255, 254]);
        assert!(serde_json::from_str::<Blob>(r#""//4""#).is_err());
        assert!(serde_json::from_str::<Blob>(r#""__4=""#).is_err());
    }
}
