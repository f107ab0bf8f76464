//! Certificate signing requests (PKCS#10, RFC 2986).
//!
//! Issuance takes only the key from a CSR; the profile decides everything else. A [`VerifiedCsr`] exists
//! only if the holder of the private key signed it.

mod requested_names;

use base64::{Engine, engine::general_purpose::STANDARD};
use der::{Decode, Encode, asn1::BitString, pem};
use spki::SubjectPublicKeyInfoOwned;
use x509_cert::{
    attr::Attributes,
    name::Name,
    request::{CertReq, CertReqInfo},
};

use crate::{
    key::{KeyFault, KeyKind, PublicKey, SignatureFault},
    names::Host,
    signed::Signed,
    signing::{self, CaSignature, KEY_KIND, TbsDigest},
};

const LABEL: &str = "CERTIFICATE REQUEST";
/// The label that old tools write (RFC 7468, section 7).
const OLD_LABEL: &str = "NEW CERTIFICATE REQUEST";

/// A parsed CSR. Until its signature is verified, it proves nothing about the key.
pub struct Csr<'a> {
    signed: Signed<'a>,
    public_key: SubjectPublicKeyInfoOwned,
    attributes: Attributes,
}

/// A CSR whose signature was verified.
#[derive(Clone, Debug)]
pub struct VerifiedCsr {
    public_key: PublicKey,
    attributes: Attributes,
}

/// An error in a CSR.
///
/// `Display` is for the sender of the CSR: the API returns it as the `detail` of a problem document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CsrError {
    /// The CSR is malformed; the text says how.
    #[error("{0}")]
    Form(&'static str),
    /// The key is not accepted.
    #[error("{0}")]
    Key(#[from] KeyFault),
    /// The CSR is not signed with the key that it contains (RFC 2986, section 4.2).
    #[error("the CSR is not signed with its own key: {0}")]
    Signature(#[from] SignatureFault),
}

/// Decodes the PEM of a CSR (RFC 7468, section 7), with lines of any length, to DER.
///
/// # Errors
/// If there is not exactly one block, its label is not that of a CSR, or its content is not base64.
pub fn decode_pem(text: &str) -> Result<Vec<u8>, CsrError> {
    let form = |fault| Err(CsrError::Form(fault));
    for label in [LABEL, OLD_LABEL] {
        let (begin, end) = (format!("-----BEGIN {label}-----"), format!("-----END {label}-----"));
        let Some((_, rest)) = text.split_once(&begin) else {
            continue;
        };
        let Some((base64, after)) = rest.split_once(&end) else {
            return form("the CSR is not PEM: it has no END line");
        };
        if !after.trim_ascii().is_empty() {
            return form("the CSR has more text after the END line");
        }
        return decode_base64(base64);
    }
    if text.contains("-----BEGIN ") {
        return form("the PEM label is not CERTIFICATE REQUEST");
    }
    form("the CSR is not PEM")
}

/// Decodes the base64 of a CSR, with or without line breaks, to DER.
///
/// # Errors
/// If the text is not base64.
pub fn decode_base64(text: &str) -> Result<Vec<u8>, CsrError> {
    let bytes: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    STANDARD.decode(bytes).map_err(|_| CsrError::Form("the CSR is not base64"))
}

impl<'a> Csr<'a> {
    /// Parses a CSR in DER, without verifying it.
    ///
    /// # Errors
    /// If `der` is not a CSR.
    pub fn from_der(der: &'a [u8]) -> Result<Self, CsrError> {
        let malformed = |_| CsrError::Form("the CSR is not PKCS#10 in DER");
        let signed = Signed::parse(der).map_err(malformed)?;
        let CertReq { info, .. } = CertReq::from_der(der).map_err(malformed)?;
        Ok(Self { signed, public_key: info.public_key, attributes: info.attributes })
    }

    /// Checks the key, and that the CSR is signed with it.
    ///
    /// # Errors
    /// If the key is of an unsupported kind or weak, or the signature does not verify.
    pub fn verify(self) -> Result<VerifiedCsr, CsrError> {
        let public_key = PublicKey::try_from(self.public_key)?;
        self.signed.verify(&public_key)?;
        Ok(VerifiedCsr { public_key, attributes: self.attributes })
    }
}

impl VerifiedCsr {
    /// Parses and verifies a CSR in PEM whose key is on P-256, as those of CAs, brokers and services are.
    ///
    /// # Errors
    /// If the CSR is malformed, its signature does not verify, or its key is not on P-256.
    pub fn from_pem(text: &str) -> Result<Self, CsrError> {
        let csr = Csr::from_der(&decode_pem(text)?)?.verify()?;
        match csr.public_key.kind() {
            KEY_KIND => Ok(csr),
            _ => Err(CsrError::Form("the CSR's key is not on P-256")),
        }
    }

    /// Returns the key to certify.
    #[must_use]
    pub fn public_key(&self) -> &SubjectPublicKeyInfoOwned {
        self.public_key.spki()
    }

    /// Returns the kind of the key.
    #[must_use]
    pub fn kind(&self) -> KeyKind {
        self.public_key.kind()
    }

    /// Returns the DNS names and IP addresses that the CSR requests. They are claims: an operator has to
    /// approve them.
    ///
    /// # Errors
    /// If the CSR requests a name of another kind, or its extensions cannot be decoded.
    pub fn requested_hosts(&self) -> Result<Vec<Host>, &'static str> {
        requested_names::hosts(&self.attributes)
    }
}

/// A CSR for a key in KMS, to be signed over [`UnsignedCsr::digest`].
pub struct UnsignedCsr {
    info: CertReqInfo,
    digest: TbsDigest,
}

impl UnsignedCsr {
    /// Builds a CSR for `public_key` and `subject`.
    ///
    /// # Errors
    /// If the CSR cannot be encoded.
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

    /// Returns the SHA-256 digest to sign.
    #[must_use]
    pub fn digest(&self) -> &TbsDigest {
        &self.digest
    }

    /// Adds the signature and returns the CSR in PEM.
    ///
    /// # Errors
    /// If the CSR cannot be encoded.
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

    /// CSRs by OpenSSL, each with a subject and extensions.
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
            let csr = verified(&decode_pem(pem).unwrap()).unwrap();
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
            let refused = verified(&decode_pem(pem).unwrap()).unwrap_err();
            assert_eq!(refused, CsrError::Key(fault));
        }
    }

    /// Every bit is covered by the encoding, the checks or the signature.
    #[test]
    fn a_bit_flipped_anywhere_is_caught() {
        for (pem, kind) in GOOD {
            let der = decode_pem(pem).unwrap();
            for place in 0..der.len() {
                let mut changed = der.clone();
                changed[place] ^= 1 << (place % 8);
                assert!(verified(&changed).is_err(), "{kind}: octet {place}");
            }
        }
    }

    #[test]
    fn a_truncated_csr_is_refused() {
        for (pem, kind) in GOOD {
            let der = decode_pem(pem).unwrap();
            for length in 0..der.len() {
                let form = verified(&der[..length]).unwrap_err();
                assert!(matches!(form, CsrError::Form(_)), "{kind}: {length} octets of DER");
            }
            assert!(verified(&[&der[..], &[0]].concat()).is_err(), "{kind}: an octet more");
            let end = pem.trim_end().len();
            for length in 0..end {
                let cut = decode_pem(&pem[..length]).and_then(|der| verified(&der).map(drop));
                assert!(matches!(cut, Err(CsrError::Form(_))), "{kind}: {length} octets of PEM");
            }
            let base64: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
            for length in 0..base64.len() {
                let cut = decode_base64(&base64[..length]).and_then(|der| verified(&der).map(drop));
                assert!(matches!(cut, Err(CsrError::Form(_))), "{kind}: {length} of base64");
            }
        }
    }

    /// Combines the signature of one CSR with the content of another.
    #[test]
    fn a_signature_verifies_only_with_its_own_csr() {
        let requests = GOOD.map(|(pem, _)| decode_pem(pem).unwrap());
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
    fn reads_pem_in_several_shapes() {
        let pem = GOOD[0].0;
        let der = decode_pem(pem).unwrap();
        let wide: String = pem.lines().skip(1).filter(|line| !line.starts_with('-')).collect();
        for shape in [
            pem.replace('\n', "\r\n"),
            pem.trim_end().to_owned(),
            pem.replace("CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"),
            format!("Certificate Request:\n    Data:\n{pem}\n\n"),
            format!("-----BEGIN {LABEL}-----\n{wide}\n-----END {LABEL}-----\n"),
        ] {
            assert_eq!(decode_pem(&shape).unwrap(), der, "{shape}");
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
            assert!(matches!(decode_pem(&garbage), Err(CsrError::Form(_))), "{garbage}");
        }
    }
}
