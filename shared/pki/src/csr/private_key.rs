//! Private keys where a CSR is expected.

use der::{Decode, Header, SliceReader, Tag, Tagged, asn1::AnyRef};

use super::fault::CsrError;

/// Refuses input that contains a private key.
///
/// # Errors
/// If there is a private key in PEM anywhere, or in DER at the beginning.
pub fn refuse_private_key(input: &[u8]) -> Result<(), CsrError> {
    if is_in(input) { Err(CsrError::PrivateKey) } else { Ok(()) }
}

fn is_in(input: &[u8]) -> bool {
    // The end of the BEGIN and END lines of every kind: PKCS#8, encrypted or not, EC, RSA, OpenSSH.
    const LABEL_END: &[u8] = b"PRIVATE KEY-----";
    input.windows(LABEL_END.len()).any(|it| it == LABEL_END)
        || begins_with_key(input).unwrap_or_default()
}

/// Recognizes PKCS#8 (RFC 5958), RSA (RFC 8017, appendix A.1.2) and EC private keys (RFC 5915) by the tags
/// after their version. More may follow, as when somebody concatenates files.
fn begins_with_key(der: &[u8]) -> der::Result<bool> {
    let mut key = SliceReader::new(der)?;
    Header::decode(&mut key)?.tag().assert_eq(Tag::Sequence)?;
    u8::decode(&mut key)?;
    let next = AnyRef::decode(&mut key)?.tag();
    Ok(match next {
        Tag::Integer | Tag::OctetString => true,
        Tag::Sequence => Tag::peek(&key)? == Tag::OctetString,
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recognizes_private_keys_of_every_form() {
        let key = p256::SecretKey::from_slice(&[7; 32]).unwrap();
        let (sec1, pkcs8) = (
            key.to_sec1_der().unwrap(),
            p256::pkcs8::EncodePrivateKey::to_pkcs8_der(&key).unwrap(),
        );
        let csr = include_bytes!("../../../../tests/fixtures/csr/p256.pem");
        for (form, input) in [
            ("PKCS#8", pkcs8.as_bytes()),
            ("EC", sec1.as_slice()),
            // The version, the modulus and so on.
            ("RSA", &[0x30, 6, 2, 1, 0, 2, 1, 15]),
            ("PEM", b"-----BEGIN PRIVATE KEY-----\nMIGH"),
            ("encrypted", b"# key\n-----BEGIN ENCRYPTED PRIVATE KEY-----"),
            ("the end of one", b"MIGH\n-----END EC PRIVATE KEY-----\n-----BEGIN"),
        ] {
            assert!(is_in(input), "{form}");
            assert!(is_in(&[input, csr].concat()), "{form} before a CSR");
        }
        assert!(is_in(&[csr, &b"-----BEGIN PRIVATE KEY-----"[..]].concat()), "after a CSR");
    }

    #[test]
    fn nothing_else_is_taken_for_a_private_key() {
        for input in [
            &[][..],
            b"-----BEGIN PUBLIC KEY-----",
            b"Private-Key: (256 bit)",
            // SEQUENCE { INTEGER 0, SEQUENCE {}, SEQUENCE {} }: the signed part of a CSR.
            &[0x30, 7, 2, 1, 0, 0x30, 0, 0x30, 0],
            &[0x30, 7, 2, 1, 0, 0x30, 0],
            &[0x30, 5, 2, 1, 0, 5, 0],
            // SET { INTEGER 0, INTEGER 15 }.
            &[0x31, 6, 2, 1, 0, 2, 1, 15],
        ] {
            assert!(!is_in(input), "{input:?}");
        }
    }
}
