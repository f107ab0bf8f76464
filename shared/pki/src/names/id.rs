//! Identifiers: a prefix that names the kind, and 131 random bits in base62.

use std::{fmt, marker::PhantomData, str::FromStr};

use rand_core::CryptoRng;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::base62;

/// The number of characters after the prefix: 22 · log2(62) = 131 bits.
pub(crate) const ID_LENGTH: usize = 22;

/// The kind of object that an [`Id`] identifies.
pub trait IdKind: Copy {
    /// The prefix of the text form, including the underscore.
    const PREFIX: &'static str;
}

/// A device: `dev_…`. The id is also the common name of its certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeviceKind {}
/// A project, which has a fleet and its policy: `proj_…`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProjectKind {}
/// An enrollment token: `tok_…`. The id is not secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TokenKind {}

impl IdKind for DeviceKind {
    const PREFIX: &'static str = "dev_";
}
impl IdKind for ProjectKind {
    const PREFIX: &'static str = "proj_";
}
impl IdKind for TokenKind {
    const PREFIX: &'static str = "tok_";
}

/// The id of a device.
pub type DeviceId = Id<DeviceKind>;
/// The id of a project.
pub type ProjectId = Id<ProjectKind>;
/// The id of an enrollment token.
pub type TokenId = Id<TokenKind>;

/// An identifier that cannot be guessed. Ordered by its text form.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id<K> {
    random: [u8; ID_LENGTH],
    kind: PhantomData<K>,
}

/// The error for a text that is not an id of the expected kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a valid id: it must be {prefix} and 22 letters or digits")]
pub struct InvalidId {
    prefix: &'static str,
}

impl<K: IdKind> Id<K> {
    /// Generates an id.
    pub fn generate(rng: &mut (impl CryptoRng + ?Sized)) -> Self {
        let mut random = [0; ID_LENGTH];
        base62::fill(&mut random, rng);
        Self { random, kind: PhantomData }
    }

    /// Returns the part after the prefix.
    pub(crate) fn random_part(&self) -> &str {
        // Never falls back: `random` contains only base62 characters.
        str::from_utf8(&self.random).unwrap_or_default()
    }

    pub(crate) fn from_random_part(part: &[u8]) -> Result<Self, InvalidId> {
        match part.try_into() {
            Ok(random) if base62::is_base62(part) => Ok(Self { random, kind: PhantomData }),
            _ => Err(InvalidId { prefix: K::PREFIX }),
        }
    }
}

impl<K: IdKind> FromStr for Id<K> {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let part = text.strip_prefix(K::PREFIX).ok_or(InvalidId { prefix: K::PREFIX })?;
        Self::from_random_part(part.as_bytes())
    }
}

impl<K: IdKind> fmt::Display for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", K::PREFIX, self.random_part())
    }
}

impl<K: IdKind> fmt::Debug for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<K: IdKind> Serialize for Id<K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, K: IdKind> Deserialize<'de> for Id<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use getrandom::{SysRng, rand_core::UnwrapErr};

    use super::*;

    #[test]
    fn reads_what_it_writes() {
        let id = DeviceId::generate(&mut UnwrapErr(SysRng));
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(format!("{id:?}"), id.to_string());
        assert_eq!(id.to_string().len(), "dev_".len() + 22);
    }

    #[test]
    fn refuses_other_kinds_lengths_and_characters() {
        let id = DeviceId::generate(&mut UnwrapErr(SysRng)).to_string();
        assert!(id.parse::<ProjectId>().is_err());
        for bad in
            ["", "dev_", &id[..25], &format!("{id}0"), &id.replace("dev_", "dev_,").as_str()[..26]]
        {
            assert!(bad.parse::<DeviceId>().is_err(), "{bad}");
        }
        assert!(format!("dev_{}é", &id[4..24]).parse::<DeviceId>().is_err());
    }
}
