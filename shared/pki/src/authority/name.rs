//! What a CA is called: in the API's paths, on the ledger and by its operators.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::profile::Usage;

/// The number of characters in a name, at most: enough, and short in every path.
const LONGEST: usize = 64;

/// A CA's name: what it issues, as in `device`, and for a later generation a suffix, as in `device-2`.
///
/// It is for good: the ledger says by it who signed a certificate, and a CRL is found under it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct AuthorityName {
    text: String,
    usage: Usage,
}

/// A text that names no CA.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a CA's name is device, server or service, or one of them with a suffix, as in device-2: up to \
     64 of a to z, 0 to 9 and hyphens"
)]
pub struct InvalidAuthorityName;

impl AuthorityName {
    /// The name of the first CA of a usage.
    #[must_use]
    pub fn first(usage: Usage) -> Self {
        Self { text: usage.as_str().to_owned(), usage }
    }

    /// The name of the next generation where these are taken: the first one's, or the number above
    /// all.
    #[must_use]
    pub fn next<'a>(usage: Usage, taken: impl IntoIterator<Item = &'a Self>) -> Self {
        let generations = taken.into_iter().filter(|name| name.usage() == usage);
        match generations.map(Self::generation).max() {
            None => Self::first(usage),
            Some(last) => Self { text: format!("{usage}-{}", last.saturating_add(1)), usage },
        }
    }

    /// What it issues.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.usage
    }

    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Its number, where it has one; any other is the first.
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
    fn the_next_one_is_above_all() {
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
