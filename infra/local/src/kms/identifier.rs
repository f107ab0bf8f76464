//! Key identifiers: key IDs, alias names and the ARNs of both.

use getrandom::{
    SysRng,
    rand_core::{Rng, UnwrapErr},
};
use serde::{Deserialize, Serialize};

use super::{
    error::{ErrorCode, KmsError},
    validation::check_length,
};

/// The account ID in every ARN. AWS assigns it to nobody.
pub(super) const ACCOUNT: &str = "000000000000";

/// The prefix of every alias name.
pub(super) const ALIAS_PREFIX: &str = "alias/";

/// A key ID: a UUID, and therefore a safe file name.
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
        let is_valid = |(index, byte)| match index {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        };
        if text.len() == 36 && text.bytes().enumerate().all(is_valid) {
            Ok(Self(text))
        } else {
            Err("not a key ID")
        }
    }
}

/// Generates a random UUID (version 4, RFC 9562).
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

/// A reference to a key in a request.
pub(super) enum KeyIdentifier {
    /// A key ID or a key ARN.
    Id(KeyId),
    /// The name of an alias.
    Alias(String),
}

/// Formats and parses the ARNs of one region.
pub(super) struct Arns {
    prefix: String,
}

impl Arns {
    /// Creates the ARN format of `region`.
    ///
    /// # Errors
    /// If `region` is not a valid region name.
    pub(super) fn new(region: &str) -> anyhow::Result<Self> {
        let is_plain = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
        anyhow::ensure!(
            !region.is_empty() && region.bytes().all(is_plain),
            "{region:?} is not a valid region name"
        );
        Ok(Self { prefix: format!("arn:aws:kms:{region}:{ACCOUNT}:") })
    }

    pub(super) fn of_key(&self, id: &KeyId) -> String {
        format!("{}key/{}", self.prefix, id.0)
    }

    pub(super) fn of_alias(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Parses a key ID, a key ARN, an alias name or an alias ARN.
    ///
    /// # Errors
    /// If `text` is none of them.
    pub(super) fn parse(&self, text: &str) -> Result<KeyIdentifier, KmsError> {
        check_length(text, "keyId", 1..=2048)?;
        let foreign = || KmsError::new(ErrorCode::InvalidArn, format!("Invalid arn {text}"));
        let unknown = || KmsError::new(ErrorCode::NotFound, format!("Invalid keyId '{text}'"));
        if !text.starts_with("arn:") {
            return match text.starts_with(ALIAS_PREFIX) {
                true => Ok(KeyIdentifier::Alias(text.to_owned())),
                false => key_id(text).map(KeyIdentifier::Id).ok_or_else(unknown),
            };
        }
        let resource = text.strip_prefix(&self.prefix).ok_or_else(foreign)?;
        match resource.strip_prefix("key/") {
            Some(id) => key_id(id).map(KeyIdentifier::Id).ok_or_else(unknown),
            None if resource.starts_with(ALIAS_PREFIX) => {
                Ok(KeyIdentifier::Alias(resource.to_owned()))
            }
            None => Err(foreign()),
        }
    }

    /// Parses a key ID or a key ARN, for the operations that do not accept an alias.
    ///
    /// # Errors
    /// If `text` is neither.
    pub(super) fn parse_key(&self, text: &str) -> Result<KeyId, KmsError> {
        match self.parse(text)? {
            KeyIdentifier::Id(id) => Ok(id),
            KeyIdentifier::Alias(_) if text.starts_with("arn:") => {
                Err(KmsError::new(ErrorCode::InvalidArn, format!("{text} is not the ARN of a key")))
            }
            KeyIdentifier::Alias(_) => {
                Err(KmsError::new(ErrorCode::NotFound, format!("Invalid keyId '{text}'")))
            }
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

    fn parse(text: &str) -> Result<String, &'static str> {
        match Arns::new("eu-west-1").unwrap().parse(text) {
            Ok(KeyIdentifier::Id(id)) => Ok(id.0),
            Ok(KeyIdentifier::Alias(name)) => Ok(name),
            Err(fault) => Err(fault.code.exception()),
        }
    }

    #[test]
    fn parses_all_four_forms() {
        assert_eq!(parse(ID), Ok(ID.to_owned()));
        assert_eq!(parse(&format!("{ARN}key/{ID}")), Ok(ID.to_owned()));
        assert_eq!(parse("alias/device"), Ok("alias/device".to_owned()));
        assert_eq!(parse(&format!("{ARN}alias/device")), Ok("alias/device".to_owned()));
    }

    #[test]
    fn rejects_what_does_not_identify_a_key() {
        assert_eq!(parse(""), Err("ValidationException"));
        assert_eq!(parse(&"x".repeat(2049)), Err("ValidationException"));
        assert_eq!(parse("device"), Err("NotFoundException"));
        assert_eq!(parse("../../../../../../../../etc/shadow_x"), Err("NotFoundException"));
        assert_eq!(parse(&ID.to_uppercase()), Err("NotFoundException"));
        assert_eq!(parse(&format!("{ARN}key/device")), Err("NotFoundException"));
        assert_eq!(parse(&format!("{ARN}grant/{ID}")), Err("InvalidArnException"));
        let elsewhere = format!("arn:aws:kms:eu-west-2:000000000000:key/{ID}");
        assert_eq!(parse(&elsewhere), Err("InvalidArnException"));
    }

    #[test]
    fn generates_version_4_uuids() {
        let ids: Vec<_> = (0..100).map(|_| KeyId::random().0).collect();
        for text in &ids {
            assert!(key_id(text).is_some(), "{text}");
            assert!(text[14..].starts_with('4') && "89ab".contains(&text[19..20]), "{text}");
        }
        assert_ne!(ids[0], ids[1]);
    }

    #[test]
    fn a_region_is_a_plain_name() {
        assert!(Arns::new("").is_err() && Arns::new("eu-west-1:1").is_err());
    }
}
