//! The certificate signing request (CSR) in the body of `POST /identity`.

use lambda::{Error, Result};
use lambda_http::Request;
use pki::csr::{Csr, CsrError, VerifiedCsr, decode_base64, decode_pem, refuse_private_key};
use serde::Deserialize;

/// Maximum length of the body in bytes: about three times a CSR in PEM for a 4096-bit RSA key.
const MAX_BYTES: usize = 8 * 1024;

const INSTEAD: &str =
    "Send application/pkcs10 (DER, base64 or PEM), or application/json with csr_pem.";

/// The tag of a SEQUENCE, with which every CSR in DER begins. The base64 of a CSR begins otherwise.
const SEQUENCE: u8 = 0x30;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Json {
    csr_pem: String,
}

/// Reads the CSR in the body and verifies its signature.
///
/// # Errors
/// If the body is too large, has an unsupported content type, or is not a CSR that can be granted.
pub(crate) fn read(request: &Request) -> Result<VerifiedCsr> {
    let body = lambda::http::body(request, MAX_BYTES)?;
    // Before anything else: this fault has consequences whatever the body is otherwise.
    refuse_private_key(body)?;
    let der = match lambda::http::media_type(request).as_deref() {
        Some("application/pkcs10") => pkcs10(body)?,
        Some("application/json") => {
            let json = serde_json::from_slice::<Json>(body);
            let json =
                json.map_err(|_| CsrError::Form("the body is not JSON with one field, csr_pem"));
            decode_pem(&json?.csr_pem)?
        }
        _ => return Err(Error::UnsupportedMediaType { instead: INSTEAD }),
    };
    Ok(Csr::from_der(&der)?.verify()?)
}

/// Decodes DER (RFC 5967), base64 (RFC 8951, section 3.1), or PEM, which is what tools write.
fn pkcs10(body: &[u8]) -> Result<Vec<u8>, CsrError> {
    if body.first() == Some(&SEQUENCE) {
        return Ok(body.to_vec());
    }
    match str::from_utf8(body).map(str::trim) {
        Err(_) => Err(CsrError::Form("the body is neither DER nor base64 nor PEM")),
        Ok("") => Err(CsrError::Form("the body is empty")),
        Ok(text) if text.contains("-----BEGIN ") => decode_pem(text),
        Ok(text) => decode_base64(text),
    }
}
