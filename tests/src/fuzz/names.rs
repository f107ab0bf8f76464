//! Names, addresses, ids, dates and numbers in text: what is accepted reads the same when it is written again.

use std::str::FromStr;

use pki::authority::{AuthorityName, RootFingerprint, Roots};
use pki::clock::Timestamp;
use pki::crl::{RevocationReason, Serial};
use pki::key::KeyKind;
use pki::names::{AddressRange, DeviceId, Host, Label, Organization, ProjectId, TokenId};
use pki::profile::RegistrationCode;

fn read<T: FromStr + ToString>(text: &str) {
    if let Ok(read) = text.parse::<T>() {
        let written = read.to_string();
        let again = written.parse::<T>().ok().expect("it reads what it writes");
        assert_eq!(again.to_string(), written);
    }
}

/// Tries one input.
pub fn names(text: &str) {
    read::<AddressRange>(text);
    read::<AuthorityName>(text);
    read::<DeviceId>(text);
    read::<Host>(text);
    read::<KeyKind>(text);
    read::<Label>(text);
    read::<ProjectId>(text);
    read::<RevocationReason>(text);
    read::<RootFingerprint>(text);
    read::<Serial>(text);
    read::<Timestamp>(text);
    read::<TokenId>(text);
    if let Ok(organization) = text.parse::<Organization>() {
        assert_eq!(organization.as_str().parse(), Ok(organization));
    }
    let _ = text.parse::<RegistrationCode>();
    let _ = text.parse::<Roots>();
}
