//! Names of CAs, in published paths, in the ledger and on the command line.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::profile::Usage;

/// The most characters of a name, so that paths stay short.
const LONGEST: usize = 64;

/// The name of a CA: its usage, such as `device`, with a suffix for a later generation, such as `device-2`.
///
/// A name never changes: the ledger records it as the issuer of certificates, and the CRL's path contains
/// it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct AuthorityName {
    text: String,
    usage: Usage,
}

/// The error for a text that is not the name of a CA.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a valid CA name: use device, server or service, optionally with a suffix as in \
     device-2 (at most 64 of a to z, 0 to 9 and hyphens)"
)]
pub struct InvalidAuthorityName;

impl AuthorityName {
    /// Returns the name of the first CA of a usage.
    #[must_use]
    pub fn first(usage: Usage) -> Self {
        Self { text: usage.as_str().to_owned(), usage }
    }

    /// Returns the name of the next generation, given the names that are taken: the name of the first CA,
    /// or the number after the highest one.
    #[must_use]
    pub fn next<'a>(usage: Usage, taken: impl IntoIterator<Item = &'a Self>) -> Self {
        let generations = taken.into_iter().filter(|name| name.usage() == usage);
        match generations.map(Self::generation).max() {
            None => Self::first(usage),
            Some(last) => Self { text: format!("{usage}-{}", last.saturating_add(1)), usage },
        }
    }

    /// Returns the usage.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.usage
    }

    /// Returns the text form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the number in the suffix, or one if there is none.
    fn generation(&self) -> u32 {
        self.text.rsplit_once('-').and_then(|(_, number)| number.parse().ok()).unwrap_or(1)
    }
}

impl FromStr for AuthorityName {
    type Err = InvalidAuthorityName;

    fn from_str(text: &str) -> Result<Self, InvalidAuthorityName> {
        let allowed = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
        let stem = text.split_once('-').map_or(text, |(stem, _)| stem);
        let usage = Usage::ALL.into_iter().find(|usage| usage.as_str() == stem);
        let is_name = text.len() <= LONGEST && text.bytes().all(allowed) && !text.ends_with('-');
        let usage = usage.filter(|_| is_name).ok_or(InvalidAuthorityName)?;
        Ok(Self { text: text.to_owned(), usage })
    }
}

impl TryFrom<String> for AuthorityName {
    type Error = InvalidAuthorityName;

    fn try_from(text: String) -> Result<Self, InvalidAuthorityName> {
        text.parse()
    }
}

impl From<AuthorityName> for String {
    fn from(name: AuthorityName) -> Self {
        name.text
    }
}

impl fmt::Display for AuthorityName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> AuthorityName {
        text.parse().unwrap()
    }

    #[test]
    fn says_what_the_ca_issues() {
        for (text, usage) in [
            ("device", Usage::Device),
            ("device-2", Usage::Device),
            ("server-2027-eu", Usage::Server),
            ("service-2", Usage::Service),
        ] {
            assert_eq!(name(text).usage(), usage);
            assert_eq!(name(text).to_string(), text);
            assert_eq!(name(text).as_str(), text);
            assert_eq!(serde_json::to_string(&name(text)).unwrap(), format!("\"{text}\""));
        }
        let long = format!("device-{}", "x".repeat(58));
        for text in [
            "",
            "devices",
            "root",
            "device-",
            "-device",
            "Device",
            "device_2",
            "device/../x",
            &long,
        ] {
            assert_eq!(text.parse::<AuthorityName>(), Err(InvalidAuthorityName), "{text}");
        }
    }

    #[test]
    fn the_next_name_has_the_next_number() {
        let next = |taken: &[&str]| {
            let taken: Vec<_> = taken.iter().copied().map(name).collect();
            AuthorityName::next(Usage::Device, &taken).to_string()
        };
        assert_eq!(next(&[]), "device");
        assert_eq!(next(&["server", "server-7"]), "device");
        assert_eq!(next(&["device"]), "device-2");
        assert_eq!(next(&["device", "device-9", "device-3"]), "device-10");
        assert_eq!(next(&["device", "device-eu"]), "device-2");
    }
}
