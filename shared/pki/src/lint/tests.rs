use getrandom::{SysRng, rand_core::UnwrapErr};
use p256::{ecdsa::SigningKey, elliptic_curve::Generate};
use x509_cert::name::Name;

use super::*;
use crate::{
    csr::{Csr, decode_pem},
    hex::octets,
    key::{KeyKind, KeyKinds, KeyPair},
    names::{DeviceId, Host, distinguished},
    profile::{Device, IssuedBy, Profile, Role, Service, Usage, build},
};

const NOW: Timestamp = Timestamp::from_unix(1_800_000_000);
const LATER: Timestamp = Timestamp::from_unix(1_900_000_000);
const DAY: u64 = 24 * 60 * 60;

struct Ca {
    subject: Name,
    key: CaPublicKey,
}

impl Ca {
    fn new() -> Self {
        let key = SigningKey::generate_from_rng(&mut UnwrapErr(SysRng));
        Self { subject: distinguished("CA", None).unwrap(), key: (*key.verifying_key()).into() }
    }

    fn issued_by(&self) -> IssuedBy<'_> {
        IssuedBy {
            subject: &self.subject,
            key: &self.key,
            key_identifier: b"twenty octets of key",
            not_before: Timestamp::from_unix(1_000_000_000),
            not_after: Timestamp::from_unix(2_000_000_000),
            crl_url: Some("http://example.com/device.crl"),
        }
    }

    fn der(&self, profile: &Profile) -> Vec<u8> {
        let rng = &mut UnwrapErr(SysRng);
        let key = KeyPair::generate(rng).public_key().unwrap();
        build(profile, self.issued_by(), key, NOW, end(profile), rng).unwrap().der
    }
}

/// Returns the latest end that the profile allows, or some years.
fn end(profile: &Profile) -> Timestamp {
    profile.max_validity().map_or(LATER, |longest| NOW.plus(longest))
}

fn device() -> Profile {
    device_of(None)
}

fn device_of(organization: Option<&str>) -> Profile {
    Profile::Device(Device {
        id: DeviceId::generate(&mut UnwrapErr(SysRng)),
        organization: organization.map(|it| it.parse().unwrap()),
        key_kinds: KeyKinds::all(),
    })
}

fn service(role: Role) -> Profile {
    let name: Host = "broker".parse().unwrap();
    Profile::Service(Service::new(role, name.clone(), vec![name]).unwrap())
}

/// Returns one profile of each kind, and two of devices.
fn profiles() -> Vec<Profile> {
    let usages = [Usage::Device, Usage::Server, Usage::Service];
    let roles = [Role::Server, Role::Client, Role::Peer];
    let client = Service::new(Role::Client, "broker".parse().unwrap(), vec![]).unwrap();
    let code = "0123456789abcdef".repeat(4).parse().unwrap();
    let mut all = vec![device(), device(), Profile::Service(client)];
    all.push(Profile::Registration(code));
    all.extend(usages.map(subordinate));
    all.extend(roles.map(service));
    all
}

fn subordinate(usage: Usage) -> Profile {
    Profile::Subordinate { subject: distinguished("Sub", Some("Org")).unwrap(), usage }
}

#[test]
fn passes_what_the_profiles_build() {
    let ca = Ca::new();
    for profile in profiles() {
        let der = ca.der(&profile);
        let digest: [u8; 32] = signing::digest(&der);
        let read = TbsCertificate::from_der(&der).unwrap();
        let key = read.subject_public_key_info().to_der().unwrap();
        let linted = lint(Tbs { der: der.clone(), profile: &profile, issued_by: ca.issued_by() });
        let linted = linted.unwrap();
        assert_eq!(*linted.digest(), digest);
        assert_eq!(linted.der(), der);
        assert_eq!(linted.key_fingerprint(), hex(&signing::digest(&key)));
        assert_eq!(linted.serial_number(), hex(read.serial_number().as_bytes()));
        assert_eq!(linted.serial_number().len(), 32);
        let validity = (linted.not_before(), linted.not_after());
        assert_eq!(validity, (NOW.minus(60 * 60), end(&profile)));
    }
}

#[test]
fn a_bit_flipped_anywhere_but_in_free_fields_is_caught() {
    let ca = Ca::new();
    let profile = device();
    let der = ca.der(&profile);
    let original = TbsCertificate::from_der(&der).unwrap();
    for bit in 0..der.len() * 8 {
        let mut changed = der.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let read = TbsCertificate::from_der(&changed);
        let passed = lint(Tbs { der: changed, profile: &profile, issued_by: ca.issued_by() });
        if passed.is_ok() {
            // The serial number, and dates within the CA's validity, are free.
            let read = read.unwrap();
            assert!(
                read.serial_number() != original.serial_number()
                    || read.validity() != original.validity(),
                "bit {bit} is not covered by any rule"
            );
        }
    }
}

/// A certificate built from one profile never passes as one of another.
#[test]
fn refuses_one_profile_for_another() {
    let ca = Ca::new();
    let profiles = profiles();
    for (i, built) in profiles.iter().enumerate() {
        for (j, wanted) in profiles.iter().enumerate() {
            let tbs = Tbs { der: ca.der(built), profile: wanted, issued_by: ca.issued_by() };
            assert_eq!(lint(tbs).is_ok(), i == j, "{built:?} as {wanted:?}");
        }
    }
}

#[test]
fn a_device_has_the_organization_of_its_profile_and_no_other() {
    let ca = Ca::new();
    let Profile::Device(acme) = device_of(Some("Acme")) else { unreachable!() };
    let organizations = [None, Some("Acme"), Some("acme"), Some("Acme, CN=dev_1")];
    for organization in organizations.map(|it| it.map(|it| it.parse().unwrap())) {
        let same = organization == acme.organization;
        let built = Profile::Device(Device { organization, ..acme.clone() });
        let profile = Profile::Device(acme.clone());
        let tbs = Tbs { der: ca.der(&built), profile: &profile, issued_by: ca.issued_by() };
        assert_eq!(lint(tbs).is_ok(), same, "{built:?}");
    }
}

#[test]
fn a_service_has_the_names_of_its_profile_and_no_others() {
    let ca = Ca::new();
    let [name, other] = ["broker", "other"].map(|it| it.parse::<Host>().unwrap());
    let with = |names| Service::new(Role::Server, name.clone(), names).map(Profile::Service);
    let profile = with(vec![name.clone()]).unwrap();
    for names in [vec![other.clone()], vec![name.clone(), other]] {
        let der = ca.der(&with(names).unwrap());
        let linted = lint(Tbs { der, profile: &profile, issued_by: ca.issued_by() });
        assert_eq!(linted.unwrap_err().rule, "subjectAltName is the profile's and not empty");
    }
}

#[test]
fn a_key_of_a_kind_that_its_profile_lacks_is_refused() {
    let (ca, rng) = (Ca::new(), &mut UnwrapErr(SysRng));
    let keys = [
        include_str!("../../../../tests/fixtures/csr/p256.pem"),
        include_str!("../../../../tests/fixtures/csr/p384.pem"),
        include_str!("../../../../tests/fixtures/csr/ed25519.pem"),
        include_str!("../../../../tests/fixtures/csr/rsa.pem"),
    ];
    for (pem, kind) in keys.into_iter().zip(KeyKind::ALL) {
        let csr = Csr::from_der(&decode_pem(pem).unwrap()).unwrap().verify().unwrap();
        let Profile::Device(device) = device() else { unreachable!() };
        let mut profiles = vec![(service(Role::Server), KeyKinds::only(KeyKind::P256))];
        for kinds in KeyKind::ALL.map(KeyKinds::only).into_iter().chain([KeyKinds::all()]) {
            let device = Device { key_kinds: kinds.clone(), ..device.clone() };
            profiles.push((Profile::Device(device), kinds));
        }
        for (profile, kinds) in profiles {
            let key = csr.public_key().clone();
            let tbs = build(&profile, ca.issued_by(), key, NOW, end(&profile), rng).unwrap();
            assert_eq!(lint(tbs).is_ok(), kinds.contains(kind), "{kind} in {profile:?}");
        }
    }
}

/// The lint does not rely on the check of the CSR.
#[test]
fn a_weak_key_is_refused_once_more() {
    let (ca, rng) = (Ca::new(), &mut UnwrapErr(SysRng));
    let pem = include_str!("../../../../tests/fixtures/csr/small-order.pem");
    let der = decode_pem(pem).unwrap();
    let request = x509_cert::request::CertReq::from_der(&der).unwrap();
    let profile = device();
    let key = request.info.public_key;
    let tbs = build(&profile, ca.issued_by(), key, NOW, LATER, rng).unwrap();
    assert_eq!(lint(tbs).unwrap_err().rule, "the key is acceptable");
}

#[test]
fn refuses_another_ca() {
    let (ca, profile) = (Ca::new(), device());
    let good = ca.issued_by();
    let other = distinguished("Other", None).unwrap();
    let broken = [
        (IssuedBy { subject: &other, ..good }, "4.1.2.4"),
        (IssuedBy { key_identifier: b"other", ..good }, "4.2.1.1"),
        (IssuedBy { crl_url: Some("http://other"), ..good }, "4.2.1.13"),
        (IssuedBy { crl_url: None, ..good }, "4.2"),
        (IssuedBy { not_after: LATER.minus(1), ..good }, "certificate profile"),
        (IssuedBy { not_before: NOW, ..good }, "certificate profile"),
    ];
    for (issued_by, clause) in broken {
        let tbs = Tbs { der: ca.der(&profile), profile: &profile, issued_by };
        let error = lint(tbs).unwrap_err();
        assert!(error.clause.ends_with(clause), "{error}");
    }
}

#[test]
fn the_validity_of_a_service_is_limited() {
    let (ca, rng) = (Ca::new(), &mut UnwrapErr(SysRng));
    for (profile, days) in [(service(Role::Server), 397), (profiles().swap_remove(3), 1)] {
        assert_eq!(profile.max_validity(), Some(days * DAY));
        let key = KeyPair::generate(rng).public_key().unwrap();
        let end = NOW.plus(days * DAY).plus(1);
        let tbs = build(&profile, ca.issued_by(), key, NOW, end, rng).unwrap();
        let rule = lint(tbs).unwrap_err().rule;
        assert_eq!(rule, "the validity is no longer than the profile allows", "{profile:?}");
    }
}

#[test]
fn a_fault_in_an_extension_keeps_its_cause() {
    let (ca, rng, profile) = (Ca::new(), &mut UnwrapErr(SysRng), device());
    let key = KeyPair::generate(rng).public_key().unwrap();
    let issued_by = IssuedBy { crl_url: Some("http://é.example"), ..ca.issued_by() };
    let error = build(&profile, issued_by, key, NOW, LATER, rng).err().unwrap();
    assert_eq!(error.kind(), der::ErrorKind::Value { tag: der::Tag::Ia5String });
}

/// Replaces one field of a built certificate, in hex.
fn replaced(der: &[u8], field: &str, replacement: &str) -> Vec<u8> {
    let content = hex(der::asn1::AnyRef::from_der(der).unwrap().value());
    let content = octets(&content.replacen(field, replacement, 1));
    der::Any::new(der::Tag::Sequence, content).unwrap().to_der().unwrap()
}

#[test]
fn a_serial_number_has_16_octets_and_is_positive() {
    let (ca, profile) = (Ca::new(), device());
    let der = ca.der(&profile);
    let serial = hex(TbsCertificate::from_der(&der).unwrap().serial_number().as_bytes());
    let (field, digits) = (format!("0210{serial}"), &serial[2..]);
    for (other, is_good) in [
        (format!("021040{digits}"), true),
        (format!("02107f{digits}"), true),
        // 15 and 17 octets, a high bit that is not set, and one that makes the number negative.
        (format!("020f40{}", &digits[2..]), false),
        (format!("021140{digits}00"), false),
        (format!("021020{digits}"), false),
        (format!("0210c0{digits}"), false),
    ] {
        let der = replaced(&der, &field, &other);
        let linted = lint(Tbs { der, profile: &profile, issued_by: ca.issued_by() });
        let rule = linted.err().map(|error| error.rule);
        let expected = (!is_good).then_some("the serial number is positive and has 16 octets");
        assert_eq!(rule, expected, "{other}");
    }
}

#[test]
fn a_certificate_has_no_unique_identifiers() {
    let (ca, profile) = (Ca::new(), device());
    let der = ca.der(&profile);
    // The extensions are the last field, [3], and the identifiers [1] and [2] come before it.
    let content = hex(der::asn1::AnyRef::from_der(&der).unwrap().value());
    let extensions = &content[content.find("a381").unwrap()..];
    for identifier in ["8102 0001", "8202 0001"] {
        let with = format!("{}{extensions}", identifier.replace(' ', ""));
        let der = replaced(&der, extensions, &with);
        let linted = lint(Tbs { der, profile: &profile, issued_by: ca.issued_by() });
        assert_eq!(linted.unwrap_err().rule, "there are no unique identifiers");
    }
}

#[test]
fn a_certificate_is_valid_for_a_second_at_least() {
    let (ca, rng, profile) = (Ca::new(), &mut UnwrapErr(SysRng), device());
    let start = NOW.minus(profile::BACKDATED_SECONDS);
    for (end, is_good) in [(start.plus(1), true), (start, false), (start.minus(1), false)] {
        let key = KeyPair::generate(rng).public_key().unwrap();
        let tbs = build(&profile, ca.issued_by(), key, NOW, end, rng);
        assert_eq!(tbs.is_ok_and(|tbs| lint(tbs).is_ok()), is_good, "{end}");
    }
}

/// RFC 5280, section 4.1.2.5, forbids GeneralizedTime before 2050. The test rewrites the first UTCTime as
/// GeneralizedTime, which adds two octets to it and to everything around it.
#[test]
fn one_time_has_one_form() {
    let (ca, profile) = (Ca::new(), device());
    let mut tbs = TbsCertificate::from_der(&ca.der(&profile)).unwrap().to_der().unwrap();
    let place = tbs.windows(2).position(|it| it == [0x17, 13]).unwrap();
    tbs.splice(place..place + 2, [0x18, 15, b'2', b'0']);
    tbs[place - 1] += 2;
    assert_eq!(tbs[..2], [0x30, 0x82]);
    let length = u16::from_be_bytes([tbs[2], tbs[3]]) + 2;
    tbs[2..4].copy_from_slice(&length.to_be_bytes());
    let rule = lint(Tbs { der: tbs, profile: &profile, issued_by: ca.issued_by() });
    assert_eq!(rule.unwrap_err().rule, "the encoding is DER");
}

#[test]
fn a_root_certifies_its_own_key_only() {
    let rng = &mut UnwrapErr(SysRng);
    let ca = Ca::new();
    let profile = Profile::Root { subject: ca.subject.clone() };
    let key_identifier = [0; 20];
    let itself = IssuedBy::self_signed(&ca.subject, &ca.key, &key_identifier);
    let other = KeyPair::generate(rng).public_key().unwrap();
    let tbs = build(&profile, itself, other, NOW, LATER, rng).unwrap();
    assert_eq!(lint(tbs).unwrap_err().rule, "the root certifies its own key");
}
