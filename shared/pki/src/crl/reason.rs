//! Reasons for revocation.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A reason for revocation, named as in RFC 5280, section 5.3.1. The reasons for CAs and attribute
/// authorities are left out, and so is `removeFromCRL`, which occurs only in delta CRLs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RevocationReason {
    /// No reason is given.
    Unspecified,
    /// The private key is known or suspected to be compromised.
    KeyCompromise,
    /// The name or other information in the subject has changed.
    AffiliationChanged,
    /// A newer certificate replaces this one.
    Superseded,
    /// The certificate is no longer needed.
    CessationOfOperation,
    /// The certificate is suspended. Only this reason can be undone.
    CertificateHold,
    /// The holder is no longer entitled to the certificate.
    PrivilegeWithdrawn,
}

/// The error for a text that does not name a reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a valid reason: use unspecified, keyCompromise, affiliationChanged, superseded, \
     cessationOfOperation, certificateHold or privilegeWithdrawn (RFC 5280, section 5.3.1)"
)]
pub struct UnknownReason;

impl RevocationReason {
    /// All reasons.
    pub const ALL: [Self; 7] = [
        Self::Unspecified,
        Self::KeyCompromise,
        Self::AffiliationChanged,
        Self::Superseded,
        Self::CessationOfOperation,
        Self::CertificateHold,
        Self::PrivilegeWithdrawn,
    ];

    /// Returns the name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::KeyCompromise => "keyCompromise",
            Self::AffiliationChanged => "affiliationChanged",
            Self::Superseded => "superseded",
            Self::CessationOfOperation => "cessationOfOperation",
            Self::CertificateHold => "certificateHold",
            Self::PrivilegeWithdrawn => "privilegeWithdrawn",
        }
    }
}

impl fmt::Display for RevocationReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for RevocationReason {
    type Err = UnknownReason;

    fn from_str(text: &str) -> Result<Self, UnknownReason> {
        let mut all = Self::ALL.into_iter();
        all.find(|reason| reason.as_str().eq_ignore_ascii_case(text)).ok_or(UnknownReason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_one_name_everywhere() {
        for reason in RevocationReason::ALL {
            assert_eq!(reason.to_string().parse(), Ok(reason));
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.as_str());
            assert!(UnknownReason.to_string().contains(reason.as_str()));
        }
        assert_eq!("KEYCOMPROMISE".parse(), Ok(RevocationReason::KeyCompromise));
        assert_eq!("removeFromCRL".parse::<RevocationReason>(), Err(UnknownReason));
    }
}
