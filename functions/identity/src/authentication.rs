//! Authentication of the device token, as far as the request alone allows.
//!
//! [`parse_device_token`] reads the token from the `Authorization` header. The ledger authenticates it, in
//! the transaction that records the certificate ([`ledger::issue`]); only then is anything signed or
//! released.

use http::header::AUTHORIZATION;
use lambda::CredentialFault;
use lambda_http::Request;
use pki::token::DeviceToken;

/// Parses the device token in the `Authorization` header, and checks its checksum.
///
/// # Errors
/// If the header is missing, sent more than once, or does not contain a device token.
pub(crate) fn parse_device_token(request: &Request) -> Result<DeviceToken, CredentialFault> {
    let credentials = lambda::http::single_header(request, &AUTHORIZATION)?;
    let (scheme, token) = credentials.split_once(' ').ok_or(CredentialFault::Misplaced)?;
    // RFC 9110, section 11.1: the scheme is case-insensitive.
    if !scheme.eq_ignore_ascii_case("Bearer") {
        return Err(CredentialFault::Misplaced);
    }
    DeviceToken::parse(token.trim_start()).map_err(|_| CredentialFault::Malformed)
}
