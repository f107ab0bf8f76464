//! CRLs built, signed, parsed and damaged.

use der::{Decode, Encode, referenced::OwnedToRef};
use getrandom::{SysRng, rand_core::UnwrapErr};
use p256::{
    ecdsa::{Signature, SigningKey, signature::hazmat::PrehashSigner},
    elliptic_curve::Generate,
};
use sha2::{Digest, Sha256};
use spki::SubjectPublicKeyInfoOwned;

use super::*;
use crate::{
    authority::CaCertificate,
    clock::Timestamp,
    error::Error,
    hex,
    names::distinguished,
    profile::{self, IssuedBy, Profile, Usage},
    signed,
};

const NOW: Timestamp = Timestamp::from_unix(1_800_000_000);
const LATER: Timestamp = NOW.plus(VALIDITY_SECONDS);

/// A CA with its key.
struct Ca {
    certificate: CaCertificate,
    key: SigningKey,
}

impl Ca {
    fn root() -> Self {
        let rng = &mut UnwrapErr(SysRng);
        let key = SigningKey::generate_from_rng(rng);
        let subject = distinguished("Root", Some("Organisation")).unwrap();
        let identifier = profile::key_identifier(spki(&key).owned_to_ref()).unwrap();
        let public = (*key.verifying_key()).into();
        let itself = IssuedBy::self_signed(&subject, &public, &identifier);
        let profile = Profile::Root { subject: subject.clone() };
        let certificate = certify(&profile, itself, &key, &key);
        Self { certificate, key }
    }

    fn subordinate(&self, name: &str) -> Self {
        let key = SigningKey::generate_from_rng(&mut UnwrapErr(SysRng));
        let subject = distinguished(name, None).unwrap();
        let profile = Profile::Subordinate { subject, usage: Usage::Device };
        let issued_by = self.certificate.as_issuer(None);
        let certificate = certify(&profile, issued_by, &key, &self.key);
        Self { certificate, key }
    }

    fn sign(&self, linted: LintedCrl) -> UnverifiedCrl {
        let signature: Signature = self.key.sign_prehash(linted.digest()).unwrap();
        linted.with_signature(&signature.to_der().into()).unwrap()
    }

    fn publish(&self, contents: Contents<'_>) -> VerifiedCrl {
        let linted = lint(build(&self.certificate, contents).unwrap()).unwrap();
        self.sign(linted).verify(&self.certificate).unwrap()
    }

    /// Signs any `tbs` with this CA's key.
    fn sign_anything(&self, tbs: &[u8]) -> Vec<u8> {
        let signature: Signature = self.key.sign_prehash(&Sha256::digest(tbs)).unwrap();
        signed::assemble(tbs, &signature.to_der().into()).unwrap()
    }

    fn read(&self, der: &[u8]) -> Result<VerifiedCrl, CrlError> {
        VerifiedCrl::from_der(der, &self.certificate)
    }
}

fn certify(
    profile: &Profile,
    issued_by: IssuedBy<'_>,
    key: &SigningKey,
    signer: &SigningKey,
) -> CaCertificate {
    let not_after = NOW.plus(1_000_000_000);
    let rng = &mut UnwrapErr(SysRng);
    let tbs = profile::build(profile, issued_by, spki(key), NOW, not_after, rng).unwrap();
    let tbs = crate::lint::lint(tbs).unwrap();
    let signature: Signature = signer.sign_prehash(tbs.digest()).unwrap();
    let signed = tbs.with_signature(&signature.to_der().into()).unwrap();
    let pem = signed.verify(&(*signer.verifying_key()).into()).unwrap().pem().unwrap();
    CaCertificate::from_pem(&pem).unwrap()
}

fn spki(key: &SigningKey) -> SubjectPublicKeyInfoOwned {
    SubjectPublicKeyInfoOwned::from_key(key.verifying_key()).unwrap()
}

/// Returns `count` entries that cycle through all reasons.
fn revoked(count: u32) -> Vec<Entry> {
    let reasons = crate::crl::RevocationReason::ALL;
    (0..count)
        .map(|number| Entry {
            serial: format!("40{:030x}", number * 7).parse().unwrap(),
            revoked_at: NOW.minus(u64::from(count - number)),
            reason: reasons[number as usize % reasons.len()].into(),
        })
        .collect()
}

fn contents(revoked: &[Entry]) -> Contents<'_> {
    Contents {
        number: 7,
        this_update: NOW.minus(BACKDATED_SECONDS),
        next_update: LATER,
        revoked,
        denied_devices: Some(denied_digest(b"dev_1\n")),
        distribution_point: None,
    }
}

#[test]
fn a_published_crl_has_the_requested_contents() {
    let root = Ca::root();
    for ca in [&root, &root.subordinate("device")] {
        for count in [0, 1, 2, 10, 1000] {
            let revoked = revoked(count);
            let with_point = Contents {
                distribution_point: Some("http://crl.example/x.crl"),
                ..contents(&revoked)
            };
            let plain = Contents { denied_devices: None, ..contents(&revoked) };
            for contents in [contents(&revoked), with_point, plain] {
                let crl = ca.publish(contents);
                assert_eq!(crl.number(), 7);
                assert_eq!((crl.this_update(), crl.next_update()), (contents.this_update, LATER));
                assert_eq!(crl.denied_devices(), contents.denied_devices.as_ref());
                assert_eq!((crl.len(), crl.is_empty()), (count as usize, count == 0));
                assert!(crl.revoked().eq(revoked.iter().copied()));
                let pem = crl.pem().unwrap();
                let again = VerifiedCrl::from_pem(&pem, &ca.certificate).unwrap();
                assert_eq!(again.der(), crl.der());
            }
        }
    }
}

/// As `sha256sum` prints it, with which readers of a deny list compare.
#[test]
fn a_deny_list_is_bound_by_its_sha_256() {
    let digest = "43e175be0efad551e4dd96dba445b7ade18fd2a8d043a79569a4abb8de57ff88";
    assert_eq!(hex(&denied_digest(b"dev_1\n")), digest);
}

#[test]
fn contents_have_one_digest() {
    let digest = |revoked: &[Entry], denied| content_digest(revoked, denied).unwrap();
    // SHA-256 of the octet that ends the entries.
    let nothing = "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d";
    assert_eq!(hex(&digest(&[], None)), nothing);
    let entries = revoked(2);
    let (one, two) = ([entries[0]], [entries[1]]);
    let later = [Entry { revoked_at: NOW.plus(1), ..one[0] }];
    let held = [Entry { reason: CrlReason::CertificateHold, ..one[0] }];
    let (denied, other) = (denied_digest(b"dev_1\n"), denied_digest(b"dev_2\n"));
    let all = [
        digest(&[], None),
        digest(&[], Some(&denied)),
        digest(&one, None),
        digest(&one, Some(&denied)),
        digest(&one, Some(&other)),
        digest(&two, None),
        digest(&later, None),
        digest(&held, None),
        digest(&entries, None),
    ];
    for (place, one) in all.iter().enumerate() {
        assert!(!all[..place].contains(one), "{place}");
    }
    assert_eq!(digest(&entries, Some(&denied)), digest(&entries.clone(), Some(&denied)));
}

/// Brokers refuse every device after the first, and until the second has passed.
#[test]
fn a_crl_is_valid_for_a_week_from_five_minutes_ago() {
    assert_eq!((VALIDITY_SECONDS, BACKDATED_SECONDS), (604_800, 300));
}

#[test]
fn is_fresh_from_this_update_to_next_update() {
    let crl = Ca::root().publish(contents(&[]));
    let this_update = NOW.minus(BACKDATED_SECONDS);
    assert_eq!(crl.freshness(this_update.minus(1)), Freshness::NotYetValid);
    assert_eq!(crl.freshness(this_update), Freshness::Fresh);
    assert_eq!(crl.freshness(LATER), Freshness::Fresh);
    assert_eq!(crl.freshness(LATER.plus(1)), Freshness::Expired);
}

#[test]
fn claims_are_read_without_the_cas_key() {
    let ca = Ca::root();
    let crl = ca.publish(contents(&[]));
    let tbs = build(&ca.certificate, contents(&[])).unwrap().der;
    let forged = Ca::root().sign_anything(&tbs);
    assert!(ca.read(&forged).is_err());
    for der in [crl.der(), &forged] {
        assert_eq!(claimed_issuer(der).unwrap(), ca.certificate.subject().to_der().unwrap());
        assert_eq!(claimed_next_update(der).unwrap(), LATER);
    }
    assert_eq!(crl.clone().into_der(), crl.der());
}

#[test]
fn a_bit_flipped_anywhere_is_caught() {
    let ca = Ca::root().subordinate("device");
    let revoked = revoked(3);
    let der = ca.publish(contents(&revoked)).der().to_vec();
    for bit in 0..der.len() * 8 {
        let mut changed = der.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(ca.read(&changed).is_err(), "bit {bit} changed and still accepted");
    }
    for end in 0..der.len() {
        assert!(ca.read(&der[..end]).is_err(), "cut off at {end} and still accepted");
    }
    assert!(ca.read(&[der, vec![0]].concat()).is_err());
}

/// The lint, before the signature, catches a bit flipped anywhere.
#[test]
fn the_lint_covers_every_bit() {
    let ca = Ca::root().subordinate("device");
    let revoked = revoked(3);
    let contents =
        Contents { distribution_point: Some("http://crl.example"), ..contents(&revoked) };
    let der = build(&ca.certificate, contents).unwrap().der;
    for bit in 0..der.len() * 8 {
        let mut der = der.clone();
        der[bit / 8] ^= 1 << (bit % 8);
        let passed = lint(TbsCrl { der, ca: &ca.certificate, contents });
        assert!(passed.is_err(), "bit {bit} is not covered by any rule");
    }
}

#[test]
fn the_lint_wants_each_certificate_once_and_in_order() {
    let ca = Ca::root();
    let revoked = revoked(2);
    let (one, two) = (revoked[0], revoked[1]);
    for broken in [[one, one], [two, one]] {
        let tbs = build(&ca.certificate, contents(&broken)).unwrap();
        assert_eq!(
            lint(tbs).err().unwrap().rule,
            "the entries are in order and without duplicates"
        );
    }
}

#[test]
fn the_lint_wants_a_crl_to_be_valid_for_a_second_at_least() {
    let (ca, start) = (Ca::root(), NOW.minus(BACKDATED_SECONDS));
    for (next_update, is_good) in [(start.plus(1), true), (start, false), (start.minus(1), false)] {
        let tbs = build(&ca.certificate, Contents { next_update, ..contents(&[]) }).unwrap();
        let fault = lint(tbs).err().map(|error| error.clause);
        assert_eq!(fault, (!is_good).then_some("RFC 5280, 5.1.2.4 and 5.1.2.5"));
    }
}

#[test]
fn a_crl_of_another_ca_is_refused() {
    let root = Ca::root();
    let (one, other) = (root.subordinate("device"), root.subordinate("server"));
    let der = one.publish(contents(&[])).der().to_vec();
    assert_eq!(other.read(&der).err(), Some(CrlError::WrongSignature));
    assert_eq!(root.read(&der).err(), Some(CrlError::WrongSignature));

    // One key under two names, and one name with two keys: each rule is tested alone.
    let tbs = build(&other.certificate, contents(&[])).unwrap().der;
    assert_eq!(one.read(&one.sign_anything(&tbs)).err(), Some(CrlError::WrongIssuer));
    let namesake = root.subordinate("device");
    let tbs = build(&namesake.certificate, contents(&[])).unwrap().der;
    assert_eq!(one.read(&one.sign_anything(&tbs)).err(), Some(CrlError::WrongKey));
}

/// A signature over another CRL than the linted one is refused.
#[test]
fn verifies_what_was_linted() {
    let ca = Ca::root();
    let linted = |number| {
        lint(build(&ca.certificate, Contents { number, ..contents(&[]) }).unwrap()).unwrap()
    };
    let signature: Signature = ca.key.sign_prehash(linted(1).digest()).unwrap();
    let wrong = linted(2).with_signature(&signature.to_der().into()).unwrap();
    assert!(matches!(wrong.verify(&ca.certificate), Err(Error::WrongSignature)));
}

mod foreign {
    //! CRLs that a CA signed and that must still be refused.

    use const_oid::db::rfc5280::{
        ID_CE_AUTHORITY_KEY_IDENTIFIER, ID_CE_CERTIFICATE_ISSUER, ID_CE_CRL_NUMBER,
        ID_CE_DELTA_CRL_INDICATOR, ID_CE_INVALIDITY_DATE, ID_CE_ISSUING_DISTRIBUTION_POINT,
    };
    use const_oid::db::rfc5912::ECDSA_WITH_SHA_384;
    use der::{
        Encode,
        asn1::{ObjectIdentifier, OctetString},
    };
    use x509_cert::{
        certificate::Version,
        crl::{RevokedCert, TbsCertList},
        ext::Extension,
        serial_number::SerialNumber,
    };

    use super::*;

    fn extension(oid: ObjectIdentifier, critical: bool, value: &[u8]) -> Extension {
        Extension { extn_id: oid, critical, extn_value: OctetString::new(value).unwrap() }
    }

    /// Verifies our CRL after `change`.
    fn verdict(change: impl FnOnce(&mut TbsCertList)) -> Result<VerifiedCrl, CrlError> {
        let ca = Ca::root().subordinate("device");
        let revoked = revoked(1);
        let ours = build(&ca.certificate, contents(&revoked)).unwrap().der;
        let mut list = TbsCertList::from_der(&ours).unwrap();
        assert_eq!(list.to_der().unwrap(), ours);
        change(&mut list);
        ca.read(&ca.sign_anything(&list.to_der().unwrap()))
    }

    fn with(extension: Extension) -> Result<VerifiedCrl, CrlError> {
        verdict(|list| list.crl_extensions.as_mut().unwrap().push(extension))
    }

    fn without(oid: ObjectIdentifier) -> Option<CrlError> {
        let remove = |list: &mut TbsCertList| {
            list.crl_extensions.as_mut().unwrap().retain(|extension| extension.extn_id != oid);
        };
        verdict(remove).err()
    }

    fn entry_with(extension: Extension) -> Result<VerifiedCrl, CrlError> {
        verdict(|list| {
            let revoked: &mut Vec<RevokedCert> = list.revoked_certificates.as_mut().unwrap();
            revoked[0].crl_entry_extensions = Some(vec![extension]);
        })
    }

    #[test]
    fn missing_fields_are_refused() {
        assert!(verdict(|_| {}).is_ok());
        assert_eq!(without(ID_CE_CRL_NUMBER), Some(CrlError::Number));
        assert_eq!(without(ID_CE_AUTHORITY_KEY_IDENTIFIER), Some(CrlError::WrongKey));
        assert_eq!(verdict(|list| list.next_update = None).err(), Some(CrlError::NoNextUpdate));
        assert_eq!(verdict(|list| list.version = Version::V1).err(), Some(CrlError::Version));
        let bare = verdict(|list| list.crl_extensions = None);
        assert_eq!(bare.err(), Some(CrlError::WrongKey));
    }

    /// The signed part repeats the algorithm (RFC 5280, section 5.1.1.2).
    #[test]
    fn another_algorithm_in_the_signed_part_is_refused() {
        let other = verdict(|list| list.signature.oid = ECDSA_WITH_SHA_384);
        assert_eq!(other.err(), Some(CrlError::WrongSignature));
    }

    #[test]
    fn an_empty_sequence_of_entries_is_not_a_crl() {
        let empty = verdict(|list| list.revoked_certificates = Some(Vec::new()));
        assert!(matches!(empty, Err(CrlError::Damaged(_))));
    }

    #[test]
    fn a_partial_crl_is_refused() {
        let delta = extension(ID_CE_DELTA_CRL_INDICATOR, true, &[2, 1, 1]);
        assert_eq!(with(delta).err(), Some(CrlError::NotFull));
        for (flag, is_full) in [
            (&[0x30, 0x00][..], true),
            (&[0x30, 0x03, 0x81, 0x01, 0xff], false),
            (&[0x30, 0x03, 0x82, 0x01, 0xff], false),
            (&[0x30, 0x04, 0x83, 0x02, 0x06, 0x40], false),
            (&[0x30, 0x03, 0x84, 0x01, 0xff], false),
            (&[0x30, 0x03, 0x85, 0x01, 0xff], false),
        ] {
            let verdict = with(extension(ID_CE_ISSUING_DISTRIBUTION_POINT, true, flag));
            assert_eq!(verdict.err(), (!is_full).then_some(CrlError::NotFull), "{flag:02x?}");
        }
    }

    #[test]
    fn an_unknown_extension_matters_if_it_is_critical() {
        let oid = ObjectIdentifier::new_unwrap("1.2.3");
        assert!(with(extension(oid, false, b"")).is_ok());
        assert_eq!(with(extension(oid, true, b"")).err(), Some(CrlError::UnknownCritical(oid)));
        // Those of every CRL are understood, so they may be critical.
        let critical = verdict(|list| {
            list.crl_extensions.iter_mut().flatten().for_each(|it| it.critical = true);
        });
        assert!(critical.is_ok());
        let twice = extension(ID_CE_CRL_NUMBER, false, &[2, 1, 9]);
        assert_eq!(with(twice).err(), Some(CrlError::DuplicateExtension(ID_CE_CRL_NUMBER)));
        let twice = extension(DENIED_DEVICES, false, &[4, 0]);
        assert_eq!(with(twice).err(), Some(CrlError::DuplicateExtension(DENIED_DEVICES)));
    }

    #[test]
    fn a_damaged_digest_is_refused() {
        for value in [&[4, 0][..], &[4, 1, 1], &[], &[5, 0]] {
            let damaged = verdict(|list| {
                let extensions = list.crl_extensions.as_mut().unwrap();
                extensions.retain(|extension| extension.extn_id != DENIED_DEVICES);
                extensions.push(extension(DENIED_DEVICES, false, value));
            });
            assert_eq!(damaged.err(), Some(CrlError::DeniedDevices));
        }
    }

    #[test]
    fn an_entry_for_another_cas_certificate_is_refused() {
        let date = *b"\x18\x0f20270115080000Z";
        assert!(entry_with(extension(ID_CE_INVALIDITY_DATE, false, &date)).is_ok());
        let issuer = entry_with(extension(ID_CE_CERTIFICATE_ISSUER, true, &[0x30, 0x00]));
        assert!(matches!(issuer, Err(CrlError::Damaged(_))));
        let reason =
            entry_with(extension(const_oid::db::rfc5280::ID_CE_CRL_REASONS, false, &[10, 1, 7]));
        assert!(matches!(reason, Err(CrlError::Damaged(_))), "7 is not a reason");
    }

    #[test]
    fn numbers_with_a_high_bit_are_positive() {
        let crl = verdict(|list| {
            let extensions = list.crl_extensions.as_mut().unwrap();
            extensions.retain(|extension| extension.extn_id != ID_CE_CRL_NUMBER);
            extensions.push(extension(ID_CE_CRL_NUMBER, false, &u64::MAX.to_der().unwrap()));
            let revoked: &mut Vec<RevokedCert> = list.revoked_certificates.as_mut().unwrap();
            revoked[0].serial_number = SerialNumber::new(&[0x80, 1]).unwrap();
        });
        let crl = crl.unwrap();
        assert_eq!(crl.number(), u64::MAX);
        assert_eq!(crl.revoked().next().unwrap().serial.to_string(), "8001");
    }
}
