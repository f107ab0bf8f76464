//! Distinguished names (RFC 5280, section 4.1.2.4), built attribute by attribute.
//!
//! They are not parsed from RFC 4514 text, in which a comma in a name would add an attribute.

use const_oid::db::rfc4519::{CN, O};
use der::{
    Any, Decode, Encode, Tag,
    asn1::{ObjectIdentifier, SetOfVec},
};
use x509_cert::{
    attr::AttributeTypeAndValue,
    name::{Name, RdnSequence, RelativeDistinguishedName},
};

use super::invisible::is_invisible;

/// Builds the name `CN=<common_name>`, preceded by `O=<organization>` if there is one.
///
/// # Errors
/// If a value is empty or longer than 64 characters (`ub-common-name` and `ub-organization-name`,
/// RFC 5280, appendix A.1), or has control characters or invisible ones.
pub fn distinguished(common_name: &str, organization: Option<&str>) -> der::Result<Name> {
    let mut sequence = RdnSequence::default();
    if let Some(organization) = organization {
        sequence.push(relative(O, organization)?);
    }
    sequence.push(relative(CN, common_name)?);
    // The direct constructor needs the feature `hazmat` of `x509_cert`. A name is built once per
    // certificate, so the round trip through DER costs little.
    Name::from_der(&sequence.to_der()?)
}

fn relative(oid: ObjectIdentifier, value: &str) -> der::Result<RelativeDistinguishedName> {
    if value.is_empty() || value.chars().count() > 64 {
        return Err(Tag::Utf8String.length_error().into());
    }
    if value.chars().any(|it| it.is_control() || is_invisible(it)) {
        return Err(Tag::Utf8String.value_error().into());
    }
    let value = Any::new(Tag::Utf8String, value.as_bytes())?;
    let attributes = SetOfVec::try_from([AttributeTypeAndValue { oid, value }])?;
    Ok(RelativeDistinguishedName::from(attributes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comma_adds_no_attribute() {
        let name = distinguished("dev_1,O=Evil+OU=x", None).unwrap();
        assert_eq!(name.len(), 1);
        assert_eq!(name.common_name().unwrap().unwrap().value(), "dev_1,O=Evil+OU=x");
    }

    #[test]
    fn holds_the_upper_bounds() {
        assert!(distinguished(&"é".repeat(64), None).is_ok());
        assert!(distinguished(&"e".repeat(65), None).is_err());
        assert!(distinguished("", None).is_err());
        assert!(distinguished("x", Some("")).is_err());
    }

    #[test]
    fn shows_every_character() {
        for hidden in ["Example\u{200b}", "\u{1b}[2J", "Exam\u{202e}elp"] {
            assert!(distinguished(hidden, None).is_err(), "{hidden:?}");
            assert!(distinguished("x", Some(hidden)).is_err(), "{hidden:?}");
        }
    }
}
