//! Rules of the lint, and the error for a violated one.

/// A rule that a built certificate or CRL violates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("violated rule: {rule} ({clause})")]
pub struct LintError {
    /// The rule that must hold.
    pub rule: &'static str,
    /// The document and section of the rule.
    pub clause: &'static str,
}

pub(crate) fn ensure(
    holds: bool,
    rule: &'static str,
    clause: &'static str,
) -> Result<(), LintError> {
    if holds { Ok(()) } else { Err(broken(rule, clause)) }
}

pub(crate) fn broken(rule: &'static str, clause: &'static str) -> LintError {
    LintError { rule, clause }
}
