//! URLs of CRLs.

/// Parses a URL for a certificate. RFC 5280, section 4.2.1.13, requires a URI in an IA5String. It stays in
/// certificates for decades, so a mistake must not get there.
pub(super) fn http_url(text: &str) -> Result<String, &'static str> {
    let is_url = text.bytes().all(|byte| byte.is_ascii_graphic())
        && (text.starts_with("http://") || text.starts_with("https://"));
    is_url.then(|| text.to_owned()).ok_or("expected a URL that starts with http:// or https://")
}

/// Returns a remark about a CRL's URL that uses https (RFC 5280, section 8).
pub(super) fn https_remark(url: Option<&str>) -> Option<String> {
    let url = url.filter(|url| url.starts_with("https:"))?;
    Some(format!(
        "{url} should use http: a CRL is signed, many verifiers fetch CRLs by plain http only, and a verifier \
         that checks the server's certificate would need a CRL first"
    ))
}
