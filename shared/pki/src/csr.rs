//! Certificate signing requests (PKCS#10, RFC 2986).
//!
//! Issuance takes only the key from a CSR; the profile decides everything else. A [`VerifiedCsr`] exists
//! only if the holder of the private key signed it.

mod encoding;
mod fault;
mod private_key;
mod requested_names;

pub use encoding::{decode_base64, decode_pem};
pub use fault::CsrError;
pub use private_key::refuse_private_key;

use der::{
    Decode, Encode, Reader, SliceReader, Tag, Tagged,
    asn1::{AnyRef, BitString},
    pem,
};
use spki::SubjectPublicKeyInfoOwned;
use x509_cert::{
    name::Name,
    request::{CertReq, CertReqInfo},
};

use crate::{
    key::{KeyKind, PublicKey},
    names::Host,
    signed::Signed,
    signing::{self, CaSignature, KEY_KIND, TbsDigest},
};

/// A parsed CSR. Until its signature is verified, it proves nothing about the key.
pub struct Csr<'a> {
    signed: Signed<'a>,
    public_key: SubjectPublicKeyInfoOwned,
    attributes: &'a [u8],
}

/// A CSR whose signature was verified.
#[derive(Clone, Debug)]
pub struct VerifiedCsr {
    public_key: PublicKey,
    /// In DER, decoded only if somebody asks for the names in them; empty if the CSR has none.
    attributes: Vec<u8>,
}

impl<'a> Csr<'a> {
    /// Parses a CSR in DER, without verifying it.
    ///
    /// Reads only the parts that are used. Makers of devices write other versions than 0, subjects in
    /// obsolete string types, or leave out the attributes (RFC 2986, section 4.1).
    ///
    /// # Errors
    /// If `der` is not a CSR.
    pub fn from_der(der: &'a [u8]) -> Result<Self, CsrError> {
        Self::parse(der).map_err(|_| match refuse_private_key(der) {
            Ok(()) => CsrError::Form("the CSR is not PKCS#10 in DER"),
            Err(exposed) => exposed,
        })
    }

    fn parse(der: &'a [u8]) -> der::Result<Self> {
        let signed = Signed::parse(der)?;
        let mut tbs = SliceReader::new(signed.tbs)?;
        let (public_key, attributes) = tbs.sequence(|info| {
            let _version = AnyRef::decode(info)?.tag().assert_eq(Tag::Integer)?;
            let _subject = AnyRef::decode(info)?.tag().assert_eq(Tag::Sequence)?;
            let public_key = SubjectPublicKeyInfoOwned::decode(info)?;
            let attributes = if info.is_finished() { &[] } else { info.tlv_bytes()? };
            Ok::<_, der::Error>((public_key, attributes))
        })?;
        Ok(Self { signed, public_key, attributes })
    }

    /// Checks the key, and that the CSR is signed with it.
    ///
    /// # Errors
    /// If the key is of an unsupported kind or weak, or the signature does not verify.
    pub fn verify(self) -> Result<VerifiedCsr, CsrError> {
        let public_key = PublicKey::try_from(self.public_key)?;
        self.signed.verify(&public_key)?;
        Ok(VerifiedCsr { public_key, attributes: self.attributes.to_vec() })
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
        Ok(pem::encode_string(encoding::LABEL, pem::LineEnding::LF, &request.to_der()?)?)
    }
}

#[cfg(test)]
mod tests {
    use p256::ecdsa::{Signature, SigningKey, signature::hazmat::PrehashSigner};

    use super::*;
    use crate::{
        hex::{hex, octets},
        key::KeyFault,
        signed,
    };

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

    /// Returns a CSR with these fields of `CertificationRequestInfo` in hex, signed. `key` stands for the key.
    fn with_fields(fields: &str) -> Vec<u8> {
        let signing_key = SigningKey::from_slice(&[7; 32]).unwrap();
        let point = signing_key.verifying_key().to_sec1_point(false);
        let algorithm = "3059301306072a8648ce3d020106082a8648ce3d030107034200";
        let fields = fields.replace("key", &format!("{algorithm}{}", hex(point.as_bytes())));
        let info = der::Any::new(Tag::Sequence, octets(&fields.replace(' ', ""))).unwrap();
        let info = info.to_der().unwrap();
        let signature: Signature = signing_key.sign_prehash(&signing::digest(&info)).unwrap();
        signed::assemble(&info, &signature.to_der().into()).unwrap()
    }

    #[test]
    fn a_csr_that_is_built_here_verifies() {
        let key = SigningKey::from_slice(&[7; 32]).unwrap();
        let subject = crate::names::distinguished("Device CA", None).unwrap();
        let spki = SubjectPublicKeyInfoOwned::from_key(key.verifying_key()).unwrap();
        let unsigned = UnsignedCsr::new(subject, spki.clone()).unwrap();
        let signature: Signature = key.sign_prehash(unsigned.digest()).unwrap();
        let pem = unsigned.with_signature(&signature.to_der().into()).unwrap();
        assert_eq!(*VerifiedCsr::from_pem(&pem).unwrap().public_key(), spki);
    }

    #[test]
    fn what_is_ignored_may_have_any_form() {
        // SEQUENCE { SET { SEQUENCE { commonName, UniversalString "ab" } } }
        let universal = "30133111300f06035504031c080000006100000062";
        for (form, fields) in [
            ("as in RFC 2986", "020100 3000 key a000"),
            ("version 1", "020101 3000 key a000"),
            ("version 2", "020102 3000 key a000"),
            ("version 256", "02020100 3000 key a000"),
            ("a UniversalString", &format!("020100 {universal} key a000")),
            ("no attributes", "020100 3000 key"),
        ] {
            let csr = verified(&with_fields(fields)).expect(form);
            assert_eq!(csr.requested_hosts(), Ok(vec![]), "{form}");
        }
        // Attributes that are not attributes are a fault only for those who ask for the names in them.
        for attributes in ["a0020500", "a1020500", "0500"] {
            let csr = verified(&with_fields(&format!("020100 3000 key {attributes}"))).unwrap();
            assert!(csr.requested_hosts().is_err(), "{attributes}");
        }
    }

    #[test]
    fn names_are_those_of_the_subject_alternative_name() {
        let hosts = |pem| VerifiedCsr::from_pem(pem).unwrap().requested_hosts();
        let expected = ["a.example", "192.0.2.7"].map(|host| host.parse().unwrap());
        assert_eq!(hosts(request!("san")), Ok(expected.to_vec()));
        let email = hosts(request!("san-email")).unwrap_err();
        assert!(email.contains("neither a DNS name nor an IP address"), "{email}");
    }

    #[test]
    fn other_structures_are_not_csrs() {
        for fields in [
            "",
            "040100 3000 key a000",
            "020100 3100 key a000",
            "020100 3000 a000",
            "3000 key a000",
            "020100 3000 key a000 0500",
        ] {
            let refused = verified(&with_fields(fields)).unwrap_err();
            assert_eq!(refused, CsrError::Form("the CSR is not PKCS#10 in DER"), "{fields}");
        }
    }

    #[test]
    fn a_private_key_is_pointed_out() {
        let key = "-----BEGIN PRIVATE KEY-----\nMIGH\n-----END PRIVATE KEY-----\n";
        let pem = GOOD[0].0;
        for text in [key, &format!("{key}{pem}"), &format!("{pem}{key}")] {
            assert_eq!(decode_pem(text), Err(CsrError::PrivateKey), "{text}");
        }
        // An EC private key (RFC 5915) in place of a CSR, and before one.
        let der = octets("3006020101040107");
        for input in [der.clone(), [der, decode_pem(pem).unwrap()].concat()] {
            assert_eq!(verified(&input).unwrap_err(), CsrError::PrivateKey);
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
            format!("\u{feff}{pem}"),
            format!(
                "-----BEGIN CERTIFICATE REQUEST-----\n{wide}\n-----END CERTIFICATE REQUEST-----"
            ),
        ] {
            assert_eq!(decode_pem(&shape).unwrap(), der, "{shape}");
        }
        for garbage in [
            format!("{pem}{pem}"),
            format!("{}{pem}", pem.replace("CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST")),
            format!("{}{pem}", pem.replace("CERTIFICATE REQUEST", "CERTIFICATE")),
            format!("{pem}garbage"),
            pem.replace("CERTIFICATE REQUEST", "CERTIFICATE"),
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
