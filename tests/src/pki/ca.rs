//! A root, its CAs and their certificates, with keys in memory: for tests of programs that only see
//! published documents.

use der::referenced::OwnedToRef as _;
use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;
use p256::ecdsa::signature::hazmat::PrehashSigner as _;
use p256::ecdsa::{Signature, SigningKey};
use p256::elliptic_curve::Generate as _;
use pki::authority::CaCertificate;
use pki::clock::Timestamp;
use pki::crl::{self, Contents, Entry, VerifiedCrl};
use pki::key::KeyPair;
use pki::lint::lint;
use pki::names::distinguished;
use pki::profile::{self, IssuedBy, Profile, Usage};
use x509_cert::spki::SubjectPublicKeyInfoOwned;

use crate::env::YEAR;

/// A CA and its key.
pub struct Ca {
    /// The CA's certificate.
    pub certificate: CaCertificate,
    key: SigningKey,
}

/// A certificate that a CA issued.
pub struct Leaf {
    /// The certificate and the CA's, in PEM.
    pub chain_pem: String,
    /// The private key, in PEM.
    pub key_pem: String,
    /// The serial number, in lower-case hex.
    pub serial_number: String,
}

impl Ca {
    /// Creates a root.
    ///
    /// # Panics
    /// If the library refuses.
    pub fn root(name: &str) -> Self {
        let key = SigningKey::generate_from_rng(&mut UnwrapErr(SysRng));
        let subject = distinguished(name, None).unwrap();
        let identifier = profile::key_identifier(spki(&key).owned_to_ref()).unwrap();
        let public = (*key.verifying_key()).into();
        let itself = IssuedBy::self_signed(&subject, &public, &identifier);
        let profile = Profile::Root { subject: subject.clone() };
        let certificate = certify(&profile, itself, spki(&key), &key).0;
        Self { certificate: CaCertificate::from_pem(&certificate).unwrap(), key }
    }

    /// Creates a CA below this one.
    ///
    /// # Panics
    /// If the library refuses.
    pub fn subordinate(&self, name: &str, usage: Usage) -> Self {
        let key = SigningKey::generate_from_rng(&mut UnwrapErr(SysRng));
        let profile = Profile::Subordinate { subject: distinguished(name, None).unwrap(), usage };
        let issued_by = self.certificate.as_issuer(None);
        let certificate = certify(&profile, issued_by, spki(&key), &self.key).0;
        Self { certificate: CaCertificate::from_pem(&certificate).unwrap(), key }
    }

    /// Issues a certificate for a new key.
    ///
    /// # Panics
    /// If the library refuses.
    pub fn issue(&self, profile: &Profile) -> Leaf {
        let pair = KeyPair::generate(&mut UnwrapErr(SysRng));
        let issued_by = self.certificate.as_issuer(None);
        let key = pair.public_key().unwrap();
        let (certificate, serial_number) = certify(profile, issued_by, key, &self.key);
        Leaf {
            chain_pem: format!("{certificate}{}", self.certificate.pem()),
            key_pem: pair.private_key_pem().unwrap().to_string(),
            serial_number,
        }
    }

    /// Signs a CRL.
    ///
    /// # Panics
    /// If the library refuses.
    pub fn crl(&self, contents: Contents<'_>) -> VerifiedCrl {
        let linted = crl::lint(crl::build(&self.certificate, contents).unwrap()).unwrap();
        let signature: Signature = self.key.sign_prehash(linted.digest()).unwrap();
        let signed = linted.with_signature(&signature.to_der().into()).unwrap();
        signed.verify(&self.certificate).unwrap()
    }
}

/// Returns a CRL's entry for a certificate that is revoked now.
///
/// # Panics
/// If the serial number is not valid.
pub fn revoked(serial_number: &str, at: Timestamp) -> Entry {
    let serial = serial_number.parse().unwrap();
    Entry { serial, revoked_at: at, reason: crl::CrlReason::KeyCompromise }
}

/// Returns the certificate in PEM, and its serial number.
fn certify(
    profile: &Profile,
    issued_by: IssuedBy<'_>,
    key: SubjectPublicKeyInfoOwned,
    signer: &SigningKey,
) -> (String, String) {
    let now = Timestamp::now();
    let years = match profile {
        Profile::Root { .. } => 3,
        Profile::Subordinate { .. } => 2,
        _ => 1,
    };
    let until = now.plus(years * YEAR);
    let tbs = profile::build(profile, issued_by, key, now, until, &mut UnwrapErr(SysRng)).unwrap();
    let linted = lint(tbs).unwrap();
    let serial_number = linted.serial_number().to_owned();
    let signature: Signature = signer.sign_prehash(linted.digest()).unwrap();
    let signed = linted.with_signature(&signature.to_der().into()).unwrap();
    (signed.verify(&(*signer.verifying_key()).into()).unwrap().pem().unwrap(), serial_number)
}

fn spki(key: &SigningKey) -> SubjectPublicKeyInfoOwned {
    SubjectPublicKeyInfoOwned::from_key(key.verifying_key()).unwrap()
}
