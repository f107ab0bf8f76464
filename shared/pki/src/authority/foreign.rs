//! CAs that other organizations operate, for tests.

use der::{Encode, asn1::OctetString};
use getrandom::{SysRng, rand_core::UnwrapErr};
use p256::{
    ecdsa::{DerSignature, SigningKey},
    elliptic_curve::Generate,
};
use spki::{SubjectPublicKeyInfoOwned, SubjectPublicKeyInfoRef};
use x509_cert::{
    TbsCertificate,
    builder::{self, Builder, CertificateBuilder, profile::BuilderProfile},
    certificate::Certificate,
    ext::{
        Extension, ToExtension,
        pkix::{
            AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages,
            SubjectKeyIdentifier,
        },
    },
    name::Name,
    serial_number::SerialNumber,
    time::Validity,
};

use super::{AuthorityName, AuthorityRecord, ChainCertificate};
use crate::{clock::Timestamp, hex::octets, names::distinguished, profile::Usage};

pub(super) const NOW: Timestamp = Timestamp::from_unix(1_800_000_000);

/// A CA with its key, which is random.
pub(super) struct Foreign {
    pub(super) name: &'static str,
    pub(super) key: SigningKey,
    pub(super) pem: String,
}

impl Foreign {
    pub(super) fn root(name: &'static str, extensions: Vec<Extension>) -> Self {
        let key = SigningKey::generate_from_rng(&mut UnwrapErr(SysRng));
        let pem = issue(name, &key, name, &key, [NOW.minus(1000), NOW.plus(1_000_000)], extensions);
        Self { name, key, pem }
    }

    /// Creates a CA below this one.
    pub(super) fn issue(&self, name: &'static str, extensions: Vec<Extension>) -> Self {
        self.issue_for(name, [NOW.minus(1000), NOW.plus(1_000_000)], extensions)
    }

    pub(super) fn issue_for(
        &self,
        name: &'static str,
        validity: [Timestamp; 2],
        extensions: Vec<Extension>,
    ) -> Self {
        let key = SigningKey::generate_from_rng(&mut UnwrapErr(SysRng));
        let pem = issue(name, &key, self.name, &self.key, validity, extensions);
        Self { name, key, pem }
    }

    /// Issues a certificate for an existing key.
    pub(super) fn issue_to(
        &self,
        name: &'static str,
        key: SigningKey,
        extensions: Vec<Extension>,
    ) -> Self {
        let validity = [NOW.minus(2000), NOW.plus(2_000_000)];
        let pem = issue(name, &key, self.name, &self.key, validity, extensions);
        Self { name, key, pem }
    }

    pub(super) fn certificate(&self) -> ChainCertificate {
        ChainCertificate::from_pem(&self.pem).unwrap()
    }

    /// Returns the record of this CA, directly below `root`.
    pub(super) fn record(&self, root: &Self) -> AuthorityRecord {
        AuthorityRecord {
            name: AuthorityName::first(Usage::Device),
            key_arn: "arn".into(),
            certificate_pem: self.pem.clone(),
            intermediates_pem: None,
            root_pem: root.pem.clone(),
            crl_url: None,
            created_at: NOW,
        }
    }
}

fn issue(
    name: &str,
    key: &SigningKey,
    issuer: &str,
    issuer_key: &SigningKey,
    [not_before, not_after]: [Timestamp; 2],
    extensions: Vec<Extension>,
) -> String {
    let [subject, issuer] = [name, issuer].map(|name| distinguished(name, None).unwrap());
    let public = SubjectPublicKeyInfoOwned::from_key(key.verifying_key()).unwrap();
    let validity = Validity::new(not_before.x509().unwrap(), not_after.x509().unwrap());
    let profile = Contents { subject, issuer, extensions };
    let serial = SerialNumber::from(7_u32);
    let builder = CertificateBuilder::new(profile, serial, validity, public).unwrap();
    let made: Certificate = builder.build::<_, DerSignature>(issuer_key).unwrap();
    let der = made.to_der().unwrap();
    der::pem::encode_string("CERTIFICATE", der::pem::LineEnding::LF, &der).unwrap()
}

struct Contents {
    subject: Name,
    issuer: Name,
    extensions: Vec<Extension>,
}

impl BuilderProfile for Contents {
    fn get_issuer(&self, _: &Name) -> Name {
        self.issuer.clone()
    }

    fn get_subject(&self) -> Name {
        self.subject.clone()
    }

    fn build_extensions(
        &self,
        _: SubjectPublicKeyInfoRef<'_>,
        _: SubjectPublicKeyInfoRef<'_>,
        _: &TbsCertificate,
    ) -> builder::Result<Vec<Extension>> {
        Ok(self.extensions.clone())
    }
}

/// Returns the extensions that every CA certificate has.
pub(super) fn ca(path_len_constraint: Option<u8>, key_identifier: &[u8]) -> Vec<Extension> {
    let usage = KeyUsage(KeyUsages::KeyCertSign | KeyUsages::CRLSign);
    let id = SubjectKeyIdentifier(OctetString::new(key_identifier).unwrap());
    vec![
        extension(BasicConstraints { ca: true, path_len_constraint }),
        extension(usage),
        extension(id),
    ]
}

pub(super) fn purposes(usage: Usage) -> Extension {
    extension(ExtendedKeyUsage(usage.key_purposes().to_vec()))
}

pub(super) fn issuer(key_identifier: &[u8]) -> Extension {
    extension(AuthorityKeyIdentifier {
        key_identifier: Some(OctetString::new(key_identifier).unwrap()),
        ..AuthorityKeyIdentifier::default()
    })
}

pub(super) fn raw(oid: &str, critical: bool, hex: &str) -> Extension {
    let extn_value = OctetString::new(octets(hex)).unwrap();
    Extension { extn_id: oid.parse().unwrap(), critical, extn_value }
}

pub(super) fn extension<E>(it: E) -> Extension
where
    for<'a> &'a E: ToExtension<Error = der::Error>,
{
    (&it).to_extension(&distinguished("x", None).unwrap(), &[]).unwrap()
}
