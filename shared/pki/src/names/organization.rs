//! Organizations in the subjects of certificates.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::invisible::is_invisible;

/// The most characters of an organization: `ub-organization-name` (RFC 5280, appendix A.1).
const MAX_CHARACTERS: usize = 64;

/// The `organizationName` of a subject: 1 to 64 characters, trimmed, without control
/// characters and invisible ones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Organization(String);

/// The error for a text that is not an organization.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "an organization must have 1 to 64 characters, none of them a control character or invisible"
)]
pub struct InvalidOrganization;

impl Organization {
    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Organization {
    type Err = InvalidOrganization;

    fn from_str(text: &str) -> Result<Self, InvalidOrganization> {
        let trimmed = text.trim();
        let length = trimmed.chars().count();
        let is_hidden = |it: char| it.is_control() || is_invisible(it);
        if text.chars().any(is_hidden) || !(1..=MAX_CHARACTERS).contains(&length) {
            return Err(InvalidOrganization);
        }
        Ok(Self(trimmed.to_owned()))
    }
}

impl TryFrom<String> for Organization {
    type Error = InvalidOrganization;

    fn try_from(text: String) -> Result<Self, InvalidOrganization> {
        text.parse()
    }
}

impl fmt::Display for Organization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_the_bounds_of_the_certificate() {
        assert_eq!(" Acme, Inc. ".parse::<Organization>().unwrap().as_str(), "Acme, Inc.");
        assert_eq!("Acme".parse::<Organization>().unwrap().to_string(), "Acme");
        assert!("é".repeat(64).parse::<Organization>().is_ok());
        for text in ["", "  ", "a\nb", "a\u{0}", "a\u{202e}", &"e".repeat(65)] {
            assert_eq!(text.parse::<Organization>(), Err(InvalidOrganization), "{text:?}");
        }
    }
}
