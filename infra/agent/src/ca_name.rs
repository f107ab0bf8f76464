//! CA names, as the index, the state files and the status use them.

/// The reserved name of the root's own CRL.
pub(crate) const ROOT: &str = "root";

/// Returns true if `text` is safe to use as a CA's name, and so as a file name.
pub(crate) fn is_valid(text: &str) -> bool {
    let is_allowed = |it: u8| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'-';
    matches!(text.len(), 1..=64) && !text.starts_with('-') && text.bytes().all(is_allowed)
}
