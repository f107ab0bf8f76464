//! The certification request in the body of `POST /identity`.

use lambda::{Error, Result};
use lambda_http::Request;
use pki::csr::{Csr, CsrError, VerifiedCsr, decode_base64, decode_pem};
use serde::Deserialize;

/// The most bytes a body may have: some three times what a request for RSA with 4096 bits has, in PEM.
const MAX_BYTES: usize = 8 * 1024;

const INSTEAD: &str =
    "Send application/pkcs10 (DER, base64 or PEM), or application/json with csr_pem.";

/// The tag of a SEQUENCE, with which every request in DER begins, and no base64 of one.
const SEQUENCE: u8 = 0x30;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Json {
    csr_pem: String,
}

/// The request in the body, verified.
///
/// # Errors
/// When the body is too large, of another content type, or no request that can be granted.
pub(crate) fn csr(request: &Request) -> Result<VerifiedCsr> {
    let body = lambda::http::body(request, MAX_BYTES)?;
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

/// In DER as in RFC 5967, in base64 as in RFC 8951, section 3.1, or in PEM, as tools write it.
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
