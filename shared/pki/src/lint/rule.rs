//! Rules of the checks before a signature, and the error for a broken one.

/// A rule that a built certificate breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{rule} ({source_text})")]
pub struct LintError {
    /// The rule, as it should be.
    pub rule: &'static str,
    /// Where it stands.
    pub source_text: &'static str,
}

pub(crate) fn ensure(
    holds: bool,
    rule: &'static str,
    source_text: &'static str,
) -> Result<(), LintError> {
    if holds { Ok(()) } else { Err(broken(rule, source_text)) }
}

pub(crate) fn broken(rule: &'static str, source_text: &'static str) -> LintError {
    LintError { rule, source_text }
}
