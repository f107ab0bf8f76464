//! Why a certificate is revoked.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A reason of RFC 5280, section 5.3.1, under its name there. Those of CAs and attribute authorities
/// are left out, and `removeFromCRL`, which only delta CRLs have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RevocationReason {
    /// None that is told.
    Unspecified,
    /// Its private key is, or may be, somebody else's too.
    KeyCompromise,
    /// Its owner has changed.
    AffiliationChanged,
    /// A newer one took its place.
    Superseded,
    /// It is out of use.
    CessationOfOperation,
    /// It is suspended; the one reason that can be taken back.
    CertificateHold,
    /// Its holder is not entitled to it any more.
    PrivilegeWithdrawn,
}

/// A text that is no reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "no reason of RFC 5280: unspecified, keyCompromise, affiliationChanged, superseded, \
     cessationOfOperation, certificateHold or privilegeWithdrawn"
)]
pub struct UnknownReason;

impl RevocationReason {
    /// Every one.
    pub const ALL: [Self; 7] = [
        Self::Unspecified,
        Self::KeyCompromise,
        Self::AffiliationChanged,
        Self::Superseded,
        Self::CessationOfOperation,
        Self::CertificateHold,
        Self::PrivilegeWithdrawn,
    ];

    /// Its name.
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
