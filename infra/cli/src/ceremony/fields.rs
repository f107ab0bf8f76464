//! The fields of a certificate, for review.

use std::fmt;

use const_oid::{
    ObjectIdentifier,
    db::{
        rfc5280::{ID_KP_CLIENT_AUTH, ID_KP_SERVER_AUTH},
        rfc5912::{ID_EC_PUBLIC_KEY, RSA_ENCRYPTION, SECP_256_R_1, SECP_384_R_1, SECP_521_R_1},
    },
};
use der::{Decode, Encode, asn1::Uint};
use pki::{clock::Timestamp, hex};
use serde::Serialize;
use sha2::{Digest, Sha256};
use spki::SubjectPublicKeyInfoOwned;
use x509_cert::{
    Certificate, TbsCertificate,
    ext::pkix::{
        AuthorityKeyIdentifier, BasicConstraints, CrlDistributionPoints, ExtendedKeyUsage,
        KeyUsage, KeyUsages, SubjectKeyIdentifier,
        name::{DistributionPointName, GeneralName},
    },
};

use crate::root::draft::DraftKey;

/// The fields of a certificate or of a draft. A draft has no serial number and no fingerprint; a draft with
/// a placeholder key has no key identifiers.
#[derive(Serialize)]
pub(crate) struct CertificateFields {
    subject: String,
    issuer: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    serial_number: Option<String>,
    not_before: Timestamp,
    not_after: Timestamp,
    key: String,
    /// SHA-256 of the SubjectPublicKeyInfo, in hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    key_sha256: Option<String>,
    basic_constraints: String,
    key_usage: Vec<&'static str>,
    key_purposes: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject_key_identifier: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    authority_key_identifier: Option<String>,
    crl_urls: Vec<String>,
    /// Fingerprint: SHA-256 of the certificate's DER, in hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
}

impl CertificateFields {
    /// Reads a certificate that is about to be signed.
    ///
    /// # Errors
    /// If it cannot be decoded.
    pub(crate) fn of_draft(tbs: &[u8], key: DraftKey) -> der::Result<Self> {
        let mut fields = Self::read(&TbsCertificate::from_der(tbs)?)?;
        fields.serial_number = None;
        let later = match key {
            DraftKey::Known => return Ok(fields),
            DraftKey::Planned => "to be made",
            DraftKey::Locked => "to be opened",
        };
        fields.key = format!("{}, {later}", fields.key);
        fields.key_sha256 = None;
        fields.subject_key_identifier = None;
        Ok(fields)
    }

    /// Removes the issuer's key identifier, for a draft whose issuer has no key yet.
    #[must_use]
    pub(crate) fn without_issuer_key(mut self) -> Self {
        self.authority_key_identifier = None;
        self
    }

    /// Reads a certificate.
    ///
    /// # Errors
    /// If it cannot be decoded.
    pub(crate) fn of_certificate(der: &[u8]) -> der::Result<Self> {
        let mut fields = Self::read(Certificate::from_der(der)?.tbs_certificate())?;
        fields.sha256 = Some(hex(&Sha256::digest(der)));
        Ok(fields)
    }

    fn read(tbs: &TbsCertificate) -> der::Result<Self> {
        let constraints = tbs.get_extension::<BasicConstraints>()?;
        let basic_constraints = match constraints {
            Some((_, BasicConstraints { ca: true, path_len_constraint: Some(length) })) => {
                format!("CA, path length {length}")
            }
            Some((_, BasicConstraints { ca: true, path_len_constraint: None })) => {
                "CA, any path length".to_owned()
            }
            _ => "not a CA".to_owned(),
        };
        let usage = tbs.get_extension::<KeyUsage>()?;
        let purposes = tbs.get_extension::<ExtendedKeyUsage>()?;
        let subject_key = tbs.get_extension::<SubjectKeyIdentifier>()?;
        let authority_key = tbs.get_extension::<AuthorityKeyIdentifier>()?;
        let points = tbs.get_extension::<CrlDistributionPoints>()?;
        let not_before = Timestamp::from(tbs.validity().not_before);
        let not_after = Timestamp::from(tbs.validity().not_after);
        let key = tbs.subject_public_key_info();
        Ok(Self {
            subject: tbs.subject().to_string(),
            issuer: tbs.issuer().to_string(),
            serial_number: Some(hex(tbs.serial_number().as_bytes())),
            not_before,
            not_after,
            key: key_kind(key),
            key_sha256: Some(hex(&Sha256::digest(key.to_der()?))),
            basic_constraints,
            key_usage: usage.map(|(_, it)| usages(it)).unwrap_or_default(),
            key_purposes: purposes
                .map(|(_, it)| it.0.iter().map(purpose).collect())
                .unwrap_or_default(),
            subject_key_identifier: subject_key.map(|(_, it)| hex(it.0.as_bytes())),
            authority_key_identifier: authority_key
                .and_then(|(_, it)| it.key_identifier)
                .map(|it| hex(it.as_bytes())),
            crl_urls: points.map(|(_, it)| urls(it)).unwrap_or_default(),
            sha256: None,
        })
    }
}

fn key_kind(key: &SubjectPublicKeyInfoOwned) -> String {
    let algorithm = &key.algorithm;
    let curve =
        algorithm.parameters.as_ref().and_then(|it| it.decode_as::<ObjectIdentifier>().ok());
    match (algorithm.oid, curve) {
        (ID_EC_PUBLIC_KEY, Some(SECP_256_R_1)) => "ECDSA P-256".into(),
        (ID_EC_PUBLIC_KEY, Some(SECP_384_R_1)) => "ECDSA P-384".into(),
        (ID_EC_PUBLIC_KEY, Some(SECP_521_R_1)) => "ECDSA P-521".into(),
        (RSA_ENCRYPTION, _) => {
            let bits = rsa_octets(key).map_or(0, |octets| octets * 8);
            format!("RSA {bits}")
        }
        (oid, _) => oid.to_string(),
    }
}

/// Returns the length of the modulus (RFC 8017, appendix A.1.1).
fn rsa_octets(key: &SubjectPublicKeyInfoOwned) -> Option<usize> {
    let numbers = Vec::<Uint>::from_der(key.subject_public_key.as_bytes()?).ok()?;
    Some(numbers.first()?.as_bytes().len())
}

fn usages(usage: KeyUsage) -> Vec<&'static str> {
    usage
        .0
        .into_iter()
        .map(|bit| match bit {
            KeyUsages::DigitalSignature => "digitalSignature",
            KeyUsages::NonRepudiation => "nonRepudiation",
            KeyUsages::KeyEncipherment => "keyEncipherment",
            KeyUsages::DataEncipherment => "dataEncipherment",
            KeyUsages::KeyAgreement => "keyAgreement",
            KeyUsages::KeyCertSign => "keyCertSign",
            KeyUsages::CRLSign => "cRLSign",
            KeyUsages::EncipherOnly => "encipherOnly",
            KeyUsages::DecipherOnly => "decipherOnly",
        })
        .collect()
}

fn purpose(oid: &ObjectIdentifier) -> String {
    match *oid {
        ID_KP_CLIENT_AUTH => "clientAuth".into(),
        ID_KP_SERVER_AUTH => "serverAuth".into(),
        other => other.to_string(),
    }
}

fn urls(points: CrlDistributionPoints) -> Vec<String> {
    let names = points.0.into_iter().filter_map(|point| match point.distribution_point {
        Some(DistributionPointName::FullName(names)) => Some(names),
        _ => None,
    });
    names
        .flatten()
        .filter_map(|name| match name {
            GeneralName::UniformResourceIdentifier(url) => Some(url.to_string()),
            _ => None,
        })
        .collect()
}

impl fmt::Display for CertificateFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let join = |values: &[String]| values.join(", ");
        let rows = [
            ("issuer", Some(self.issuer.clone())),
            ("serial number", self.serial_number.clone()),
            ("not before", Some(self.not_before.to_string())),
            ("not after", Some(self.not_after.to_string())),
            ("key", Some(self.key.clone())),
            ("key, SHA-256", self.key_sha256.clone()),
            ("basic constraints", Some(self.basic_constraints.clone())),
            ("key usage", Some(self.key_usage.join(", "))),
            ("ext. key usage", Some(join(&self.key_purposes))),
            ("subject key id", self.subject_key_identifier.clone()),
            ("authority key id", self.authority_key_identifier.clone()),
            ("CRL", Some(join(&self.crl_urls))),
            ("SHA-256", self.sha256.clone()),
        ];
        write!(f, "Certificate of {}", self.subject)?;
        for (name, value) in rows {
            if let Some(value) = value.filter(|it| !it.is_empty()) {
                write!(f, "\n  {name:<18} {value}")?;
            }
        }
        Ok(())
    }
}
