//! The hash by which OpenSSL and Erlang find an issuer's CRL in a directory: `openssl crl -hash`.

use der::{
    Decode as _, Encode as _, Tag, Tagged as _,
    asn1::{Any, Ia5StringRef, PrintableStringRef, SetOfVec, TeletexStringRef, Utf8StringRef},
};
use sha1::{Digest as _, Sha1};
use x509_cert::{attr::AttributeTypeAndValue, name::Name};

/// Hashes a name in OpenSSL's canonical form: the RDNs without the outer SEQUENCE, each string in
/// lower-case UTF-8, trimmed and with runs of blanks collapsed.
///
/// OpenSSL's `X509_NAME_hash` is documented in openssl-rehash(1), and the canonical form in the
/// source of `x509_name_canon`.
pub(super) fn issuer_hash(name: &Name) -> der::Result<String> {
    let mut canonical = Vec::new();
    for rdn in name.iter_rdn() {
        let mut attributes = SetOfVec::new();
        for attribute in rdn.iter() {
            let value = canonicalize(&attribute.value)?;
            attributes.insert(AttributeTypeAndValue { oid: attribute.oid, value })?;
        }
        attributes.encode_to_vec(&mut canonical)?;
    }
    let digest = Sha1::digest(&canonical);
    let number = digest.iter().take(4).rev().map(|octet| format!("{octet:02x}"));
    Ok(number.collect())
}

fn canonicalize(value: &Any) -> der::Result<Any> {
    let der = value.to_der()?;
    let text = match value.tag() {
        Tag::Utf8String => Utf8StringRef::from_der(&der)?.as_str().to_owned(),
        Tag::PrintableString => PrintableStringRef::from_der(&der)?.as_str().to_owned(),
        Tag::Ia5String => Ia5StringRef::from_der(&der)?.as_str().to_owned(),
        Tag::TeletexString => TeletexStringRef::from_der(&der)?.as_str().to_owned(),
        _ => return Ok(value.clone()),
    };
    let words: Vec<_> = text.split_ascii_whitespace().collect();
    Any::encode_from(&Utf8StringRef::new(&words.join(" ").to_ascii_lowercase())?)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use x509_cert::{Certificate, der::DecodePem as _};

    use super::*;

    #[test]
    fn matches_openssl() {
        for subject in [
            "/CN=Example device CA",
            "/O=Example Ltd./CN=Example  device   CA ",
            "/C=DE/O=EXAMPLE/CN=x+OU=Y",
            "/CN=Prüfstelle ÄÖ",
        ] {
            let args = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout /dev/null -utf8";
            let made = Command::new("openssl")
                .args(args.split(' '))
                .args(["-multivalue-rdn", "-subj", subject])
                .output()
                .unwrap();
            let pem = String::from_utf8(made.stdout).unwrap();
            let certificate = Certificate::from_pem(&pem).unwrap();
            let folder = tempfile::TempDir::new().unwrap();
            let path = folder.path().join("certificate");
            std::fs::write(&path, &pem).unwrap();
            let args = ["x509", "-noout", "-subject_hash", "-in"];
            let expected = Command::new("openssl").args(args).arg(&path).output().unwrap();
            let expected = String::from_utf8(expected.stdout).unwrap();
            let hash = issuer_hash(certificate.tbs_certificate().subject()).unwrap();
            assert_eq!(hash, expected.trim(), "{subject}");
        }
    }
}
