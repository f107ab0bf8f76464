//! The names of keys: ids, aliases and ARNs.

use getrandom::{
    SysRng,
    rand_core::{Rng, UnwrapErr},
};
use serde::{Deserialize, Serialize};

use super::{
    fault::{Code, Fault},
    wire::text_length,
};

/// The account of everything here. AWS gives it to nobody.
pub(super) const ACCOUNT: &str = "000000000000";

/// What every alias name begins with.
pub(super) const ALIAS_PREFIX: &str = "alias/";

/// The id of a key: a UUID, and thereby a safe file name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct KeyId(String);

impl KeyId {
    pub(super) fn random() -> Self {
        Self(uuid())
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for KeyId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let right = |(index, byte)| match index {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        };
        if text.len() == 36 && text.bytes().enumerate().all(right) {
            Ok(Self(text))
        } else {
            Err("not a key id")
        }
    }
}

/// A random UUID (version 4, RFC 9562).
pub(super) fn uuid() -> String {
    let mut bytes = [0; 16];
    UnwrapErr(SysRng).fill_bytes(&mut bytes);
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let mut text = format!("{:032x}", u128::from_be_bytes(bytes));
    for hyphen in [8, 13, 18, 23] {
        text.insert(hyphen, '-');
    }
    text
}

/// How a request may point at a key.
pub(super) enum Address {
    /// By its id.
    Key(KeyId),
    /// By an alias, whose name it is.
    Alias(String),
}

/// The names of one region.
pub(super) struct Arns {
    prefix: String,
}

impl Arns {
    /// # Errors
    /// When `region` could not be part of an ARN.
    pub(super) fn new(region: &str) -> anyhow::Result<Self> {
        let plain = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
        anyhow::ensure!(
            !region.is_empty() && region.bytes().all(plain),
            "{region:?} is not the name of a region"
        );
        Ok(Self { prefix: format!("arn:aws:kms:{region}:{ACCOUNT}:") })
    }

    pub(super) fn of_key(&self, id: &KeyId) -> String {
        format!("{}key/{}", self.prefix, id.0)
    }

    pub(super) fn of_alias(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Reads any of a key id, a key ARN, an alias name and an alias ARN.
    ///
    /// # Errors
    /// When it is none of them.
    pub(super) fn address(&self, text: &str) -> Result<Address, Fault> {
        text_length(text, "keyId", 1..=2048)?;
        let foreign = || Fault::new(Code::InvalidArn, format!("Invalid arn {text}"));
        let unknown = || Fault::new(Code::NotFound, format!("Invalid keyId '{text}'"));
        if !text.starts_with("arn:") {
            return match text.starts_with(ALIAS_PREFIX) {
                true => Ok(Address::Alias(text.to_owned())),
                false => key_id(text).map(Address::Key).ok_or_else(unknown),
            };
        }
        let resource = text.strip_prefix(&self.prefix).ok_or_else(foreign)?;
        match resource.strip_prefix("key/") {
            Some(id) => key_id(id).map(Address::Key).ok_or_else(unknown),
            None if resource.starts_with(ALIAS_PREFIX) => Ok(Address::Alias(resource.to_owned())),
            None => Err(foreign()),
        }
    }

    /// Reads a key id or a key ARN, for the operations that take no alias.
    ///
    /// # Errors
    /// When it is neither.
    pub(super) fn key(&self, text: &str) -> Result<KeyId, Fault> {
        match self.address(text)? {
            Address::Key(id) => Ok(id),
            Address::Alias(_) if text.starts_with("arn:") => {
                Err(Fault::new(Code::InvalidArn, format!("{text} is not the ARN of a key")))
            }
            Address::Alias(_) => Err(Fault::new(Code::NotFound, format!("Invalid keyId '{text}'"))),
        }
    }
}

fn key_id(text: &str) -> Option<KeyId> {
    KeyId::try_from(text.to_owned()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "1234abcd-12ab-34cd-56ef-1234567890ab";
    const ARN: &str = "arn:aws:kms:eu-west-1:000000000000:";

    fn read(text: &str) -> Result<String, &'static str> {
        match Arns::new("eu-west-1").unwrap().address(text) {
            Ok(Address::Key(id)) => Ok(id.0),
            Ok(Address::Alias(name)) => Ok(name),
            Err(fault) => Err(fault.code.exception()),
        }
    }

    #[test]
    fn reads_all_four_ways() {
        assert_eq!(read(ID), Ok(ID.to_owned()));
        assert_eq!(read(&format!("{ARN}key/{ID}")), Ok(ID.to_owned()));
        assert_eq!(read("alias/device"), Ok("alias/device".to_owned()));
        assert_eq!(read(&format!("{ARN}alias/device")), Ok("alias/device".to_owned()));
    }

    #[test]
    fn refuses_what_names_no_key() {
        assert_eq!(read(""), Err("ValidationException"));
        assert_eq!(read(&"x".repeat(2049)), Err("ValidationException"));
        assert_eq!(read("device"), Err("NotFoundException"));
        assert_eq!(read("../../../../../../../../etc/shadow_x"), Err("NotFoundException"));
        assert_eq!(read(&ID.to_uppercase()), Err("NotFoundException"));
        assert_eq!(read(&format!("{ARN}key/device")), Err("NotFoundException"));
        assert_eq!(read(&format!("{ARN}grant/{ID}")), Err("InvalidArnException"));
        let elsewhere = format!("arn:aws:kms:eu-west-2:000000000000:key/{ID}");
        assert_eq!(read(&elsewhere), Err("InvalidArnException"));
    }

    #[test]
    fn makes_version_4_uuids() {
        let made: Vec<_> = (0..100).map(|_| KeyId::random().0).collect();
        for text in &made {
            assert!(key_id(text).is_some(), "{text}");
            assert!(text[14..].starts_with('4') && "89ab".contains(&text[19..20]), "{text}");
        }
        assert_ne!(made[0], made[1]);
    }

    #[test]
    fn a_region_is_a_plain_name() {
        assert!(Arns::new("").is_err() && Arns::new("eu-west-1:1").is_err());
    }
}
