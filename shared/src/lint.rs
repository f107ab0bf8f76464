//! The check before the signature: a built certificate is read back from its bytes and held, field
//! by field, against RFC 5280 and its profile.
//!
//! Only what passes becomes a [`LintedTbs`], and nothing else can be signed.

use const_oid::AssociatedOid;
use der::{Decode, Encode, asn1::ObjectIdentifier, referenced::OwnedToRef};
use p256::ecdsa::{DerSignature, VerifyingKey};
use sha2::{Digest, Sha256};
use x509_cert::{
    TbsCertificate,
    certificate::Version,
    ext::pkix::{
        AuthorityKeyIdentifier, BasicConstraints, CrlDistributionPoints, ExtendedKeyUsage,
        KeyUsage, SubjectAltName, SubjectKeyIdentifier,
    },
};

use crate::{
    certificate::Unverified,
    clock::Timestamp,
    key::PublicKey,
    profile::{self, Tbs},
    signed,
    token::hex,
};

/// A rule that a built certificate breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{rule} ({source_text})")]
pub struct LintError {
    /// The rule, as it should be.
    pub rule: &'static str,
    /// Where it stands.
    pub source_text: &'static str,
}

/// A certificate that was checked and may be signed, once: signing consumes it.
#[derive(Debug)]
pub struct LintedTbs {
    der: Vec<u8>,
    digest: [u8; 32],
    serial_number: String,
    key_fingerprint: String,
    not_before: Timestamp,
    not_after: Timestamp,
}

impl LintedTbs {
    /// Its bytes.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// SHA-256 of its bytes: what is signed.
    #[must_use]
    pub fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// Lower-case hex.
    #[must_use]
    pub fn serial_number(&self) -> &str {
        &self.serial_number
    }

    /// SHA-256 of the subject public key info, in hex.
    #[must_use]
    pub fn key_fingerprint(&self) -> &str {
        &self.key_fingerprint
    }

    /// Begin of validity.
    #[must_use]
    pub fn not_before(&self) -> Timestamp {
        self.not_before
    }

    /// End of validity.
    #[must_use]
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// The certificate with what claims to be its signature.
    ///
    /// # Errors
    /// When it cannot be encoded.
    pub fn with_signature(self, signature: &DerSignature) -> der::Result<Unverified> {
        let der = signed::assemble(&self.der, signature)?;
        Ok(Unverified {
            der,
            tbs: self.der,
            serial_number: self.serial_number,
            not_before: self.not_before,
            not_after: self.not_after,
        })
    }
}

/// Checks a built certificate against its profile.
///
/// # Errors
/// The first rule it breaks.
pub fn lint(tbs: Tbs<'_>) -> Result<LintedTbs, LintError> {
    let Tbs { der, profile, issued_by } = tbs;
    let read = TbsCertificate::from_der(&der).ok();
    let read = read.ok_or(broken("it decodes", "X.690"))?;
    ensure(
        read.to_der().is_ok_and(|again| again == der),
        "its encoding is DER",
        "X.690, clause 10",
    )?;

    ensure(read.version() == Version::V3, "version 3", "RFC 5280, 4.1.2.1")?;
    let serial = read.serial_number().as_bytes();
    ensure(
        serial.len() == 16 && serial[0] & 0xc0 == 0x40,
        "a positive serial number of 16 octets",
        "RFC 5280, 4.1.2.2",
    )?;
    ensure(*read.signature() == signed::ALGORITHM, "ecdsa-with-SHA256", "RFC 5758, 3.2")?;
    ensure(
        !read.issuer().is_empty() && read.issuer() == issued_by.subject,
        "the issuer is the CA's subject",
        "RFC 5280, 4.1.2.4",
    )?;
    ensure(
        read.issuer_unique_id().is_none() && read.subject_unique_id().is_none(),
        "no unique identifiers",
        "RFC 5280, 4.1.2.8",
    )?;

    let not_before = Timestamp::from(read.validity().not_before);
    let not_after = Timestamp::from(read.validity().not_after);
    ensure(not_before < not_after, "it is valid before it expires", "RFC 5280, 4.1.2.5")?;
    ensure(
        profile.longest_validity().is_none_or(|longest| {
            not_after <= not_before.plus(longest).plus(profile::BACKDATED_SECONDS)
        }),
        "it is valid no longer than the profile allows",
        "certificate profile",
    )?;
    ensure(
        issued_by.not_before <= not_before && not_after <= issued_by.not_after,
        "it is valid only while its CA is",
        "certificate profile",
    )?;
    ensure(
        profile.subject().is_ok_and(|subject| subject == *read.subject()),
        "the subject is the profile's",
        "certificate profile",
    )?;

    let key = read.subject_public_key_info();
    let checked = PublicKey::try_from(key.clone()).ok();
    let checked = checked.ok_or(broken("the key is sound", "RFC 5480, RFC 8410, RFC 8017"))?;
    ensure(
        profile.key_kinds().contains(checked.kind()),
        "the key is of a kind that the profile has",
        "certificate profile",
    )?;
    if profile.is_root() {
        ensure(
            VerifyingKey::try_from(key.owned_to_ref()).is_ok_and(|key| key == *issued_by.key),
            "a root certifies its own key",
            "RFC 5280, 3.2",
        )?;
    }

    let mut expected: Vec<(ObjectIdentifier, bool)> = Vec::with_capacity(8);
    let mut expect = |oid, critical| expected.push((oid, critical));

    expect(BasicConstraints::OID, true);
    ensure(
        holds(&read, |it: &BasicConstraints| *it == profile.basic_constraints()),
        "basicConstraints are the profile's",
        "RFC 5280, 4.2.1.9",
    )?;
    expect(KeyUsage::OID, true);
    ensure(
        holds(&read, |it: &KeyUsage| *it == profile.key_usage()),
        "keyUsage is the profile's",
        "RFC 5280, 4.2.1.3",
    )?;
    if let Some(purposes) = profile.key_purposes() {
        expect(ExtendedKeyUsage::OID, false);
        ensure(
            holds(&read, |it: &ExtendedKeyUsage| it.0 == purposes),
            "extKeyUsage has the profile's purposes and no other",
            "RFC 5280, 4.2.1.12",
        )?;
    }
    let names = profile.alternative_names();
    let names = names.map_err(|_| broken("the names encode", "RFC 5280, 4.2.1.6"))?;
    if let Some(names) = names {
        expect(SubjectAltName::OID, false);
        ensure(
            !names.0.is_empty() && holds(&read, |it: &SubjectAltName| *it == names),
            "subjectAltName has the profile's names, one at least",
            "RFC 5280, 4.2.1.6",
        )?;
    }
    expect(SubjectKeyIdentifier::OID, false);
    ensure(
        profile::key_identifier(key.owned_to_ref())
            .is_ok_and(|id| holds(&read, |it: &SubjectKeyIdentifier| it.0.as_bytes() == id)),
        "subjectKeyIdentifier is the key's",
        "RFC 5280, 4.2.1.2",
    )?;
    if !profile.is_root() {
        expect(AuthorityKeyIdentifier::OID, false);
        ensure(
            holds(&read, |it: &AuthorityKeyIdentifier| {
                it.key_identifier.as_ref().map(|id| id.as_bytes()) == Some(issued_by.key_identifier)
                    && it.authority_cert_issuer.is_none()
                    && it.authority_cert_serial_number.is_none()
            }),
            "authorityKeyIdentifier is the CA's subjectKeyIdentifier",
            "RFC 5280, 4.2.1.1",
        )?;
        if let Some(url) = issued_by.crl_url {
            expect(CrlDistributionPoints::OID, false);
            ensure(
                profile::distribution_points(url)
                    .is_ok_and(|points| holds(&read, |it: &CrlDistributionPoints| *it == points)),
                "cRLDistributionPoints has the CA's one address",
                "RFC 5280, 4.2.1.13",
            )?;
        }
    }
    let found = read.extensions().map(|all| all.iter().map(|e| (e.extn_id, e.critical)).collect());
    ensure(
        found == Some(expected),
        "the profile's extensions, each once, each as critical as it should be, and no other",
        "RFC 5280, 4.2",
    )?;

    Ok(LintedTbs {
        digest: Sha256::digest(&der).into(),
        serial_number: hex(serial),
        key_fingerprint: checked.fingerprint().to_owned(),
        not_before,
        not_after,
        der,
    })
}

/// Whether `check` likes the extension, whose own encoding must be DER too: the decoder would take a
/// bit string with needless zero bits.
fn holds<'a, E>(tbs: &'a TbsCertificate, check: impl FnOnce(&E) -> bool) -> bool
where
    E: Decode<'a> + Encode + AssociatedOid,
{
    let found = tbs.extensions().and_then(|all| all.iter().find(|e| e.extn_id == E::OID));
    found.is_some_and(|extension| {
        let bytes = extension.extn_value.as_bytes();
        let read = E::from_der(bytes).ok();
        read.is_some_and(|read| check(&read) && read.to_der().is_ok_and(|again| again == bytes))
    })
}

pub(crate) fn ensure(
    holds: bool,
    rule: &'static str,
    source_text: &'static str,
) -> Result<(), LintError> {
    if holds { Ok(()) } else { Err(broken(rule, source_text)) }
}

pub(crate) fn broken(rule: &'static str, source_text: &'static str) -> LintError {
    LintError { rule, source_text }
}

#[cfg(test)]
mod tests {
    use getrandom::{SysRng, rand_core::UnwrapErr};
    use p256::{ecdsa::SigningKey, elliptic_curve::Generate};
    use x509_cert::name::Name;

    use super::*;
    use crate::{
        csr::{Csr, der_of_pem},
        host::Host,
        id::DeviceId,
        key::{KeyKind, KeyKinds},
        keypair::KeyPair,
        name::distinguished,
        profile::{Device, IssuedBy, Profile, Usage, build},
        service::{Role, Service},
    };

    const NOW: Timestamp = Timestamp::from_unix(1_800_000_000);
    const LATER: Timestamp = Timestamp::from_unix(1_900_000_000);
    const DAY: u64 = 24 * 60 * 60;

    struct Ca {
        subject: Name,
        key: VerifyingKey,
    }

    impl Ca {
        fn new() -> Self {
            let key = SigningKey::generate_from_rng(&mut UnwrapErr(SysRng));
            Self { subject: distinguished("CA", None).unwrap(), key: *key.verifying_key() }
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

    /// As late as it may be, or some years.
    fn end(profile: &Profile) -> Timestamp {
        profile.longest_validity().map_or(LATER, |longest| NOW.plus(longest))
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

    /// One of each; only the two devices are of one kind.
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
            let digest: [u8; 32] = Sha256::digest(&der).into();
            let linted = lint(Tbs { der, profile: &profile, issued_by: ca.issued_by() }).unwrap();
            assert_eq!(*linted.digest(), digest);
            assert_eq!(linted.serial_number().len(), 32);
            let validity = (linted.not_before(), linted.not_after());
            assert_eq!(validity, (NOW.minus(3600), end(&profile)));
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
                // Another serial number or other dates within the CA's are as good as these.
                let read = read.unwrap();
                assert!(
                    read.serial_number() != original.serial_number()
                        || read.validity() != original.validity(),
                    "bit {bit} is not covered by any rule"
                );
            }
        }
    }

    /// What one profile builds is never good for another.
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
    fn a_key_is_of_a_kind_that_its_profile_has() {
        let (ca, rng) = (Ca::new(), &mut UnwrapErr(SysRng));
        let keys = [
            include_str!("../../tests/fixtures/csr/p256.pem"),
            include_str!("../../tests/fixtures/csr/p384.pem"),
            include_str!("../../tests/fixtures/csr/ed25519.pem"),
            include_str!("../../tests/fixtures/csr/rsa.pem"),
        ];
        for (pem, kind) in keys.into_iter().zip(KeyKind::ALL) {
            let csr = Csr::from_der(&der_of_pem(pem).unwrap()).unwrap().verify().unwrap();
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

    /// Whatever the way by which they came here.
    #[test]
    fn a_weak_key_is_refused_once_more() {
        let (ca, rng) = (Ca::new(), &mut UnwrapErr(SysRng));
        let pem = include_str!("../../tests/fixtures/csr/small-order.pem");
        let der = der_of_pem(pem).unwrap();
        let request = x509_cert::request::CertReq::from_der(&der).unwrap();
        let profile = device();
        let key = request.info.public_key;
        let tbs = build(&profile, ca.issued_by(), key, NOW, LATER, rng).unwrap();
        assert_eq!(lint(tbs).unwrap_err().rule, "the key is sound");
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
            assert!(error.source_text.ends_with(clause), "{error}");
        }
    }

    #[test]
    fn a_service_is_not_certified_for_years() {
        let (ca, rng) = (Ca::new(), &mut UnwrapErr(SysRng));
        for (profile, days) in [(service(Role::Server), 397), (profiles().swap_remove(3), 1)] {
            let key = KeyPair::generate(rng).public_key().unwrap();
            let end = NOW.plus(days * DAY).plus(1);
            let tbs = build(&profile, ca.issued_by(), key, NOW, end, rng).unwrap();
            let rule = lint(tbs).unwrap_err().rule;
            assert_eq!(rule, "it is valid no longer than the profile allows", "{profile:?}");
        }
    }

    /// RFC 5280, section 4.1.2.5: no GeneralizedTime before 2050. The first UTCTime gets a century here:
    /// two octets more of it, and of all that it is in.
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
        assert_eq!(rule.unwrap_err().rule, "its encoding is DER");
    }

    #[test]
    fn a_root_certifies_its_own_key_only() {
        let rng = &mut UnwrapErr(SysRng);
        let ca = Ca::new();
        let profile = Profile::Root { subject: ca.subject.clone() };
        let key_identifier = [0; 20];
        let itself = IssuedBy::itself(&ca.subject, &ca.key, &key_identifier);
        let other = KeyPair::generate(rng).public_key().unwrap();
        let tbs = build(&profile, itself, other, NOW, LATER, rng).unwrap();
        assert_eq!(lint(tbs).unwrap_err().rule, "a root certifies its own key");
    }
}
