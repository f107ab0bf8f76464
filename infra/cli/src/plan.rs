//! What a command would do: the answer of a dry run.

use std::fmt;

use serde::Serialize;

use crate::fields::Fields;

/// Steps in their order, and the certificates that would come of them.
#[derive(Serialize)]
pub(crate) struct Plan {
    dry_run: bool,
    steps: Vec<String>,
    remarks: Vec<String>,
    certificates: Vec<Fields>,
}

impl Plan {
    pub(crate) fn new() -> Self {
        Self { dry_run: true, steps: Vec::new(), remarks: Vec::new(), certificates: Vec::new() }
    }

    /// What would be done next, as in "write root/root.pem".
    #[must_use]
    pub(crate) fn step(mut self, step: impl Into<String>) -> Self {
        self.steps.push(step.into());
        self
    }

    /// What should be known before saying yes.
    #[must_use]
    pub(crate) fn remarks(mut self, remarks: impl IntoIterator<Item = String>) -> Self {
        self.remarks.extend(remarks);
        self
    }

    #[must_use]
    pub(crate) fn certificate(mut self, fields: Fields) -> Self {
        self.certificates.push(fields);
        self
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dry run: nothing was made, written or signed. With --yes:")?;
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
