//! The status of a device.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A device's right to obtain identities.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceStatus {
    /// The device may obtain identities.
    Active,
    /// The device obtains no identities until an operator enables it. Its certificates stay good.
    Disabled,
    /// The device obtains no identities until an operator releases it. Its certificates are on hold
    /// (RFC 5280, section 5.3.1).
    Held,
    /// The device never obtains an identity again. Its certificates are revoked.
    Revoked,
}

impl fmt::Display for DeviceStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl DeviceStatus {
    /// Returns the status as the table and the command line spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Disabled => "disabled",
            Self::Held => "held",
            Self::Revoked => "revoked",
        }
    }
}
