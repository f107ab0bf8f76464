//! The outcome of a revocation, and the report of what an operator has to repair.

use pki::crl::RevocationReason;

use crate::error::{Error, Result};

/// The outcome of a revocation, a hold or a release.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RevocationOutcome {
    /// True if the device or any of its ledger entries changed.
    pub changed: bool,
    /// The number of certificates that changed.
    pub certificates: usize,
}

/// The items that stand in the way of a revocation, which does everything else nevertheless.
#[derive(Default)]
pub(crate) struct Report {
    refused: Vec<String>,
    damaged: Vec<String>,
    /// True if other entries are damaged, which may be of the same compromised key.
    pub(crate) may_lack_same_key: bool,
}

impl Report {
    /// Adds a write that DynamoDB refused for what its item is, or that others came before.
    ///
    /// # Errors
    /// `error` itself, if it is about something else.
    pub(crate) fn refuse(&mut self, what: &str, error: Error) -> Result<()> {
        match error {
            Error::Refused { .. } | Error::Contended => {
                self.refused.push(format!("{what} ({error})"));
                Ok(())
            }
            error => Err(error),
        }
    }

    /// Adds a damaged ledger entry, by its sort key.
    pub(crate) fn add_damaged(&mut self, sort_key: &str) {
        self.damaged.push(sort_key.to_owned());
    }

    pub(crate) fn has_refusals(&self) -> bool {
        !self.refused.is_empty()
    }

    /// Ends the revocation of `what` for `reason`.
    ///
    /// # Errors
    /// [`Error::Damaged`] if there is anything to report.
    pub(crate) fn end(self, what: &str, reason: RevocationReason) -> Result<()> {
        let Self { refused, damaged, may_lack_same_key } = self;
        let is = if reason == RevocationReason::CertificateHold { "on hold" } else { "revoked" };
        let mut faults = Vec::new();
        if !refused.is_empty() {
            faults.push(format!("could not be written: {}", refused.join(", ")));
        }
        if !damaged.is_empty() {
            let damaged = damaged.join(", ");
            faults.push(format!(
                "ledger entries are damaged, and may be on no CRL before they are repaired: {damaged}"
            ));
        }
        if may_lack_same_key {
            faults.push("other ledger entries are damaged, and may be of the same key".into());
        }
        match faults.as_slice() {
            [] => Ok(()),
            faults => Err(Error::Damaged(format!("{what} is {is}, but {}", faults.join("; ")))),
        }
    }
}

#[cfg(test)]
mod tests {
    use RevocationReason::{CertificateHold, KeyCompromise};

    use super::*;

    #[test]
    fn everything_is_reported() {
        assert!(Report::default().end("device x", KeyCompromise).is_ok());
        let mut report = Report::default();
        report.refuse("key y", Error::Contended).unwrap();
        assert!(report.refuse("key z", Error::OutOfTime).is_err());
        report.add_damaged("CERT#1");
        report.add_damaged("CERT#2");
        report.may_lack_same_key = true;
        let said = report.end("device x", CertificateHold).unwrap_err().to_string();
        for part in ["device x is on hold, but", "key y (", "CERT#1, CERT#2; other"] {
            assert!(said.contains(part), "{said}");
        }
    }
}
