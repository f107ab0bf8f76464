//! The result of a dry run.

use std::fmt;

use serde::Serialize;

use super::fields::CertificateFields;

/// The steps that a command would take, and the certificates that would result.
#[derive(Serialize)]
pub(crate) struct Plan {
    dry_run: bool,
    steps: Vec<String>,
    remarks: Vec<String>,
    certificates: Vec<CertificateFields>,
}

impl Plan {
    pub(crate) fn new() -> Self {
        Self { dry_run: true, steps: Vec::new(), remarks: Vec::new(), certificates: Vec::new() }
    }

    /// Adds a step, as in "write root/root.pem".
    #[must_use]
    pub(crate) fn step(mut self, step: impl Into<String>) -> Self {
        self.steps.push(step.into());
        self
    }

    /// Adds remarks for review before the command is applied.
    #[must_use]
    pub(crate) fn remarks(mut self, remarks: impl IntoIterator<Item = String>) -> Self {
        self.remarks.extend(remarks);
        self
    }

    #[must_use]
    pub(crate) fn certificate(mut self, fields: CertificateFields) -> Self {
        self.certificates.push(fields);
        self
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dry run: nothing was created, written or signed. With --yes:")?;
        for (number, step) in self.steps.iter().enumerate() {
            write!(f, "\n  {}. {step}", number + 1)?;
        }
        for remark in &self.remarks {
            write!(f, "\n\nNote: {remark}")?;
        }
        for fields in &self.certificates {
            write!(f, "\n\n{fields}")?;
        }
        Ok(())
    }
}
