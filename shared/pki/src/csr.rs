//! PKCS#10 certification requests (RFC 2986).
//!
//! From a request only the key is taken: what else it asks for is the profile's to decide. A
//! [`VerifiedCsr`] exists only if whoever sent it holds the private key.

use base64::{Engine, engine::general_purpose::STANDARD};
use der::{Decode, Encode, asn1::BitString, pem};
use spki::SubjectPublicKeyInfoOwned;
use x509_cert::{
    attr::Attributes,
    name::Name,
    request::{CertReq, CertReqInfo},
};

mod requested;

use crate::{
    key::{KeyFault, KeyKind, PublicKey, SignatureFault},
    names::Host,
    signed::Signed,
    signing::{self, CaSignature, KEY_KIND, TbsDigest},
};

const LABEL: &str = "CERTIFICATE REQUEST";
/// Of old tools (RFC 7468, section 7).
const OLD_LABEL: &str = "NEW CERTIFICATE REQUEST";

/// A certification request that was read, and no more: whose key it names is anybody's guess.
pub struct Csr<'a> {
    signed: Signed<'a>,
    public_key: SubjectPublicKeyInfoOwned,
    attributes: Attributes,
}

/// A certification request whose signature was verified.
#[derive(Clone, Debug)]
pub struct VerifiedCsr {
    public_key: PublicKey,
    attributes: Attributes,
}

/// What is wrong with a request, in words for the one who sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CsrError {
    /// It is no request.
    #[error("{0}")]
    Form(&'static str),
    /// Its key is not to be certified.
    #[error("{0}")]
    Key(#[from] KeyFault),
    /// It is not signed with its own key.
    #[error("the request is not signed with its own key: {0}")]
    Signature(#[from] SignatureFault),
}

/// The DER in a request's PEM (RFC 7468, section 7), with lines of any length.
///
/// # Errors
/// When there is another number of blocks than one, another label, or no base64 in it.
pub fn der_of_pem(text: &str) -> Result<Vec<u8>, CsrError> {
    let form = |fault| Err(CsrError::Form(fault));
    for label in [LABEL, OLD_LABEL] {
        let (begin, end) = (format!("-----BEGIN {label}-----"), format!("-----END {label}-----"));
        let Some((_, rest)) = text.split_once(&begin) else {
            continue;
        };
        let Some((base64, after)) = rest.split_once(&end) else {
            return form("the request is not PEM: it has no END line");
        };
        if !after.trim_ascii().is_empty() {
            return form("there is more after the END line of the PEM");
        }
        return der_of_base64(base64);
    }
    if text.contains("-----BEGIN ") {
        return form("the PEM is not of a CERTIFICATE REQUEST");
    }
    form("the request is not PEM")
}

/// The DER in base64, with line ends or without.
///
/// # Errors
/// When it is no base64.
pub fn der_of_base64(text: &str) -> Result<Vec<u8>, CsrError> {
    let bytes: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    STANDARD.decode(bytes).map_err(|_| CsrError::Form("the request is not base64"))
}

impl<'a> Csr<'a> {
    /// Reads a request in DER.
    ///
    /// # Errors
    /// When it is none.
    pub fn from_der(der: &'a [u8]) -> Result<Self, CsrError> {
        let malformed = |_| CsrError::Form("the request is not PKCS#10 in DER");
        let signed = Signed::parse(der).map_err(malformed)?;
        let CertReq { info, .. } = CertReq::from_der(der).map_err(malformed)?;
        Ok(Self { signed, public_key: info.public_key, attributes: info.attributes })
    }

    /// Checks its key, and that it is signed with that key.
    ///
    /// # Errors
    /// When the key is of no kind that is certified, or weak; or when the signature is not the key's.
    pub fn verify(self) -> Result<VerifiedCsr, CsrError> {
        let public_key = PublicKey::try_from(self.public_key)?;
        self.signed.verify(&public_key)?;
        Ok(VerifiedCsr { public_key, attributes: self.attributes })
    }
}

impl VerifiedCsr {
    /// Reads a request for a key on P-256, as CAs, brokers and services have, and verifies that it is
    /// signed with the key it asks to certify.
    ///
    /// # Errors
    /// What is wrong with it, in words for the one who sent it.
    pub fn from_pem(text: &str) -> Result<Self, CsrError> {
        let csr = Csr::from_der(&der_of_pem(text)?)?.verify()?;
        match csr.public_key.kind() {
            KEY_KIND => Ok(csr),
            _ => Err(CsrError::Form("the request's key is not on P-256")),
        }
    }

    /// The key to certify.
    #[must_use]
    pub fn public_key(&self) -> &SubjectPublicKeyInfoOwned {
        self.public_key.spki()
    }

    /// What kind of key it is.
    #[must_use]
    pub fn kind(&self) -> KeyKind {
        self.public_key.kind()
    }

    /// The DNS names and IP addresses that it asks for: a wish, until somebody has looked at it.
    ///
    /// # Errors
    /// When it asks for names of another kind, or says so in a way that cannot be read.
    pub fn requested_hosts(&self) -> Result<Vec<Host>, &'static str> {
        requested::hosts(&self.attributes)
    }
}

/// A request of our own, for a key that KMS holds: to be signed over [`UnsignedCsr::digest`].
pub struct UnsignedCsr {
    info: CertReqInfo,
    digest: TbsDigest,
}

impl UnsignedCsr {
    /// Asks to certify `public_key` for `subject`.
    ///
    /// # Errors
    /// When it cannot be encoded.
    pub fn new(subject: Name, public_key: SubjectPublicKeyInfoOwned) -> der::Result<Self> {
        let info = CertReqInfo {
            version: x509_cert::request::Version::V1,
            subject,
            public_key,
            attributes: Default::default(),
        };
        let digest = signing::digest(&info.to_der()?);
        Ok(Self { info, digest })
    }

    /// SHA-256 of what is to be signed.
    #[must_use]
    pub fn digest(&self) -> &TbsDigest {
        &self.digest
    }

    /// The whole request, in PEM.
    ///
    /// # Errors
    /// When it cannot be encoded.
    pub fn with_signature(self, signature: &CaSignature) -> der::Result<String> {
        let request = CertReq {
            info: self.info,
            algorithm: signing::ALGORITHM,
            signature: BitString::from_bytes(signature.as_bytes())?,
        };
        Ok(pem::encode_string(LABEL, pem::LineEnding::LF, &request.to_der()?)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    macro_rules! request {
        ($name:literal) => {
            include_str!(concat!("../../../tests/fixtures/csr/", $name, ".pem"))
        };
    }

    /// By openssl, with a subject and extensions of their own.
    const GOOD: [(&str, KeyKind); 5] = [
        (request!("p256"), KeyKind::P256),
        (request!("p384"), KeyKind::P384),
        (request!("ed25519"), KeyKind::Ed25519),
        (request!("rsa"), KeyKind::Rsa),
        (request!("rsa-pss"), KeyKind::Rsa),
    ];

    fn verified(der: &[u8]) -> Result<VerifiedCsr, CsrError> {
        Csr::from_der(der)?.verify()
    }

    #[test]
    fn verifies_each_kind_of_key() {
        for (pem, kind) in GOOD {
            let csr = verified(&der_of_pem(pem).unwrap()).unwrap();
            assert_eq!(csr.kind(), kind);
            assert_eq!(VerifiedCsr::from_pem(pem).is_ok(), kind == KeyKind::P256);
        }
    }

    #[test]
    fn refuses_keys_that_are_weak() {
        for (pem, fault) in [
            (request!("rsa-8192"), KeyFault::RsaSize),
            (request!("roca"), KeyFault::Roca),
            (request!("rfc9500-rsa-2048"), KeyFault::Known),
            (request!("small-order"), KeyFault::SmallOrder),
        ] {
            let refused = verified(&der_of_pem(pem).unwrap()).unwrap_err();
            assert_eq!(refused, CsrError::Key(fault));
        }
    }

    /// No bit of it is free: every change makes another request, or none.
    #[test]
    fn one_bit_changed_anywhere_is_found() {
        for (pem, kind) in GOOD {
            let der = der_of_pem(pem).unwrap();
            for place in 0..der.len() {
                let mut changed = der.clone();
                changed[place] ^= 1 << (place % 8);
                assert!(verified(&changed).is_err(), "{kind}: octet {place}");
            }
        }
    }

    #[test]
    fn cut_off_anywhere_it_is_no_request() {
        for (pem, kind) in GOOD {
            let der = der_of_pem(pem).unwrap();
            for length in 0..der.len() {
                let form = verified(&der[..length]).unwrap_err();
                assert!(matches!(form, CsrError::Form(_)), "{kind}: {length} octets of DER");
            }
            assert!(verified(&[&der[..], &[0]].concat()).is_err(), "{kind}: an octet more");
            let end = pem.trim_end().len();
            for length in 0..end {
                let cut = der_of_pem(&pem[..length]).and_then(|der| verified(&der).map(drop));
                assert!(matches!(cut, Err(CsrError::Form(_))), "{kind}: {length} octets of PEM");
            }
            let base64: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
            for length in 0..base64.len() {
                let cut = der_of_base64(&base64[..length]).and_then(|der| verified(&der).map(drop));
                assert!(matches!(cut, Err(CsrError::Form(_))), "{kind}: {length} of base64");
            }
        }
    }

    /// The signature of one request under the content of another.
    #[test]
    fn each_signature_is_good_for_its_own_request_only() {
        let requests = GOOD.map(|(pem, _)| der_of_pem(pem).unwrap());
        for (i, one) in requests.iter().enumerate() {
            for (j, other) in requests.iter().enumerate() {
                let (one, other) = (Signed::parse(one).unwrap(), Signed::parse(other).unwrap());
                let parts = [one.tbs, &other.after_tbs()].concat();
                let der = der::Any::new(der::Tag::Sequence, parts).unwrap().to_der().unwrap();
                assert_eq!(verified(&der).is_ok(), i == j, "{i} with the signature of {j}");
            }
        }
    }

    #[test]
    fn pem_comes_in_several_shapes() {
        let pem = GOOD[0].0;
        let der = der_of_pem(pem).unwrap();
        let wide: String = pem.lines().skip(1).filter(|line| !line.starts_with('-')).collect();
        for shape in [
            pem.replace('\n', "\r\n"),
            pem.trim_end().to_owned(),
            pem.replace("CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"),
            format!("Certificate Request:\n    Data:\n{pem}\n\n"),
            format!("-----BEGIN {LABEL}-----\n{wide}\n-----END {LABEL}-----\n"),
        ] {
            assert_eq!(der_of_pem(&shape).unwrap(), der, "{shape}");
        }
        for garbage in [
            format!("{pem}{pem}"),
            format!("{pem}garbage"),
            pem.replace("CERTIFICATE REQUEST", "CERTIFICATE"),
            pem.replace("CERTIFICATE REQUEST", "PRIVATE KEY"),
            pem.replace("-----END", "-----FIN"),
            pem.replacen('M', "*", 1),
            pem.replacen("\nMI", "\nM=I", 1),
            String::new(),
            "garbage".into(),
        ] {
            assert!(matches!(der_of_pem(&garbage), Err(CsrError::Form(_))), "{garbage}");
        }
    }
}
