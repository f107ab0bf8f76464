//! Errors as callers see them: `application/problem+json` (RFC 9457).
//!
//! The only place where an [`Error`] becomes an HTTP response. Details consist of static text and numbers.
//! They repeat nothing that was received and reveal nothing internal.

use std::fmt::Display;

use http::{Response, StatusCode, header};
use pki::csr::CsrError;
use serde::Serialize;

use crate::error::{CredentialFault, Error};

/// The error catalogue in the documentation: the part of a problem's `type` before the fragment.
pub(crate) const CATALOGUE: &str = "/docs/errors.md";

/// A kind of problem. The status is one of the constants below, never a 2xx.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    /// The fragment in the catalogue, stable for programs.
    pub slug: &'static str,
    /// The title, for people.
    pub title: &'static str,
    status: StatusCode,
}

macro_rules! kinds {
    ($($name:ident = $status:ident, $slug:literal, $title:literal;)+) => {
        $(const $name: Kind = Kind { slug: $slug, title: $title, status: StatusCode::$status };)+
        /// Every kind, for the test that the catalogue is complete.
        #[cfg(test)]
        const ALL: &[Kind] = &[$($name),+];
    };
}

kinds! {
    INVALID_FORM = BAD_REQUEST, "invalid-form", "The form is not valid";
    INVALID_CSR = BAD_REQUEST, "invalid-csr", "The certificate signing request is not valid";
    KEY_NOT_ACCEPTED = BAD_REQUEST, "key-not-accepted", "The key is not accepted";
    INVALID_ENROLLMENT_TOKEN = UNAUTHORIZED, "invalid-enrollment-token", "The enrollment token is not valid";
    INVALID_DEVICE_TOKEN = UNAUTHORIZED, "invalid-device-token", "The device token is not valid";
    TOKEN_PAUSED = FORBIDDEN, "enrollment-token-paused", "The enrollment token is paused";
    DEVICE_CAP_REACHED = FORBIDDEN, "device-cap-reached", "The enrollment token has reached its device cap";
    ADDRESS_NOT_ALLOWED = FORBIDDEN, "address-not-allowed", "The enrollment token is not valid from this address";
    KEY_KIND_NOT_ALLOWED = FORBIDDEN, "key-kind-not-allowed", "The project does not allow keys of this kind";
    GENERATED_KEYS_NOT_ALLOWED = FORBIDDEN, "generated-keys-not-allowed", "The project does not allow server-generated keys";
    NOT_FOUND = NOT_FOUND, "not-found", "There is nothing at this path";
    METHOD_NOT_ALLOWED = METHOD_NOT_ALLOWED, "method-not-allowed", "This path does not accept this method";
    KEY_IN_USE = CONFLICT, "key-in-use", "The key belongs to another device";
    KEY_COMPROMISED = CONFLICT, "key-compromised", "The key is compromised";
    BODY_TOO_LARGE = PAYLOAD_TOO_LARGE, "body-too-large", "The body is too large";
    UNSUPPORTED_MEDIA_TYPE = UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", "The content type is not supported";
    ISSUANCE_LIMIT_REACHED = TOO_MANY_REQUESTS, "issuance-limit-reached", "The device has reached its issuance limit";
    INTERNAL_ERROR = INTERNAL_SERVER_ERROR, "internal-error", "Internal error";
    BUSY = SERVICE_UNAVAILABLE, "busy", "The service is busy";
    UNAVAILABLE = SERVICE_UNAVAILABLE, "unavailable", "The service is not available";
    CA_UNAVAILABLE = SERVICE_UNAVAILABLE, "ca-unavailable", "The issuing CA is not available";
}

/// The parts of a problem document.
struct Problem {
    kind: Kind,
    detail: String,
    /// `WWW-Authenticate`, `Retry-After` or `Allow`.
    header: Option<(header::HeaderName, String)>,
}

#[derive(Serialize)]
struct Document<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    request_id: &'a str,
}

impl From<&Error> for Problem {
    fn from(error: &Error) -> Self {
        match error {
            Error::Ledger(error) => error.into(),
            Error::EnrollmentToken(fault) => enrollment_token(match fault {
                CredentialFault::Missing => {
                    "Send the enrollment token in the header Thistle-Device-Enrollment-Token."
                }
                CredentialFault::Misplaced => {
                    "Send the header Thistle-Device-Enrollment-Token exactly once, with one token."
                }
                CredentialFault::Malformed => {
                    "This is not an enrollment token, or it was mistyped: a token begins with et_ and \
                     contains a checksum."
                }
            }),
            Error::DeviceToken(CredentialFault::Missing) => {
                // RFC 6750, section 3: no error code where no credential was sent at all.
                device_token("Send the device token as Authorization: Bearer <device_token>.", "")
            }
            Error::DeviceToken(CredentialFault::Misplaced) => device_token(
                "Send exactly one Authorization header, of the form Bearer <device_token>.",
                r#", error="invalid_request""#,
            ),
            Error::DeviceToken(CredentialFault::Malformed) => device_token(
                "This is not a device token, or it was mistyped: a token begins with dt_ and contains a \
                 checksum.",
                INVALID_TOKEN,
            ),
            Error::KeyKindNotAllowed { allowed } => plain(
                KEY_KIND_NOT_ALLOWED,
                &format!("This project allows keys of these kinds: {allowed}."),
            ),
            Error::GeneratedKeysNotAllowed => plain(
                GENERATED_KEYS_NOT_ALLOWED,
                "This project does not generate keys for its devices. Generate a key on the device, \
                 and send a certificate signing request (CSR) with POST.",
            ),
            Error::Csr(CsrError::Key(fault)) => plain(KEY_NOT_ACCEPTED, &sentence(fault)),
            Error::Csr(fault) => plain(INVALID_CSR, &sentence(fault)),
            Error::Form(fault) => plain(INVALID_FORM, &sentence(fault)),
            Error::BodyTooLarge { limit } => {
                plain(BODY_TOO_LARGE, &format!("The body may have at most {limit} bytes."))
            }
            Error::UnsupportedMediaType { instead } => plain(UNSUPPORTED_MEDIA_TYPE, instead),
            Error::NotFound => plain(
                NOT_FOUND,
                "The device API has POST /enroll, GET /identity and POST /identity.",
            ),
            Error::MethodNotAllowed { allow } => Self {
                kind: METHOD_NOT_ALLOWED,
                detail: format!("This path accepts {allow}."),
                header: Some((header::ALLOW, (*allow).into())),
            },
            Error::Unpublished(_) | Error::Json(_) | Error::Config(_) | Error::Runtime(_) => {
                internal()
            }
        }
    }
}

impl From<&ledger::Error> for Problem {
    fn from(error: &ledger::Error) -> Self {
        use ledger::Error;
        match error {
            // The caller does not learn the reason, which is in the log.
            Error::EnrollmentToken(_) => {
                enrollment_token("This enrollment token is invalid, expired or replaced.")
            }
            Error::DeviceToken(_) => {
                device_token("This device token is invalid or no longer valid.", INVALID_TOKEN)
            }
            Error::TokenPaused => {
                plain(TOKEN_PAUSED, "An operator paused this enrollment token and can resume it.")
            }
            Error::DeviceCapReached => plain(
                DEVICE_CAP_REACHED,
                "This enrollment token has enrolled as many devices as its cap allows.",
            ),
            Error::AddressNotAllowed => plain(
                ADDRESS_NOT_ALLOWED,
                "This enrollment token enrolls devices from certain networks only. An operator can add \
                 yours.",
            ),
            Error::IssuanceLimitReached => later(
                ISSUANCE_LIMIT_REACHED,
                24 * 60 * 60,
                "This device was issued as many certificates as its project allows. An operator can \
                 lift the limit.",
            ),
            Error::KeyInUse => plain(
                KEY_IN_USE,
                "This key already belongs to another device. Generate a new one for this device.",
            ),
            Error::KeyCompromised => plain(
                KEY_COMPROMISED,
                "A certificate for this key was revoked because the key was compromised. Generate a \
                 new one.",
            ),
            Error::Throttled { .. } | Error::Contended => later(BUSY, 2, RETRY),
            Error::Unavailable { .. } | Error::Refused { .. } | Error::OutOfTime => {
                later(UNAVAILABLE, 10, RETRY)
            }
            Error::Issuer { .. } | Error::Pki(pki::Error::Authority { .. }) => later(
                CA_UNAVAILABLE,
                300,
                "The issuing CA cannot issue at the moment. An operator has to fix it.",
            ),
            Error::Pki(pki::Error::Lint(_) | pki::Error::WrongSignature | pki::Error::Asn1(_))
            | Error::Item(_)
            | Error::CaBundle(_)
            | Error::Incomplete(_)
            | Error::Operator(_)
            | Error::Damaged(_) => internal(),
        }
    }
}

const RETRY: &str = "Nothing was released. Retry after a moment, then at growing intervals.";
const INVALID_TOKEN: &str = r#", error="invalid_token""#;

fn plain(kind: Kind, detail: &str) -> Problem {
    Problem { kind, detail: detail.into(), header: None }
}

fn later(kind: Kind, seconds: u32, detail: &str) -> Problem {
    let header = Some((header::RETRY_AFTER, seconds.to_string()));
    Problem { kind, detail: detail.into(), header }
}

fn enrollment_token(detail: &str) -> Problem {
    let header = Some((header::WWW_AUTHENTICATE, "Thistle-Device-Enrollment-Token".into()));
    Problem { kind: INVALID_ENROLLMENT_TOKEN, detail: detail.into(), header }
}

fn device_token(detail: &str, code: &str) -> Problem {
    let challenge = format!(r#"Bearer realm="birthcert"{code}"#);
    let header = Some((header::WWW_AUTHENTICATE, challenge));
    Problem { kind: INVALID_DEVICE_TOKEN, detail: detail.into(), header }
}

fn internal() -> Problem {
    let detail =
        "Nothing was released. An operator can find the cause in the log by the request id.";
    plain(INTERNAL_ERROR, detail)
}

/// Returns the text of an error as a sentence.
fn sentence(error: &impl Display) -> String {
    let text = error.to_string();
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    format!("{}{}.", first.map(String::from).unwrap_or_default(), letters.as_str())
}

/// Returns the problem document of `error` as a response, without the headers of every response.
#[must_use]
pub(crate) fn response(error: &Error, request_id: &str) -> Response<String> {
    let problem = Problem::from(error);
    let document = Document {
        r#type: format!("{CATALOGUE}#{}", problem.kind.slug),
        title: problem.kind.title,
        status: problem.kind.status.as_u16(),
        detail: &problem.detail,
        request_id,
    };
    // Strings and numbers always serialize.
    let mut response = Response::new(serde_json::to_string(&document).unwrap_or_default());
    *response.status_mut() = problem.kind.status;
    let headers = response.headers_mut();
    headers
        .insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/problem+json"));
    if let Some((name, text)) = problem.header
        && let Ok(value) = text.try_into()
    {
        headers.insert(name, value);
    }
    response
}

/// Returns the slug of an error's kind, for the log and the metrics.
#[must_use]
pub(crate) fn slug(error: &Error) -> &'static str {
    Problem::from(error).kind.slug
}

#[cfg(test)]
mod tests {
    use super::*;
    use ledger::{Rejection, aws::AwsService};

    fn document(error: &Error) -> serde_json::Value {
        serde_json::from_str(response(error, "r-1").body()).unwrap()
    }

    #[test]
    fn every_kind_is_an_error_and_is_in_the_catalogue() {
        let catalogue = include_str!("../../../docs/errors.md");
        for kind in ALL {
            assert!(kind.status.is_client_error() || kind.status.is_server_error());
            assert!(
                catalogue.contains(&format!("\n### {}\n", kind.slug)),
                "docs/errors.md lacks {}",
                kind.slug
            );
        }
    }

    #[test]
    fn callers_cannot_tell_unknown_from_regenerated() {
        let of = |rejection| document(&ledger::Error::EnrollmentToken(rejection).into());
        assert_eq!(of(Rejection::Unknown), of(Rejection::Regenerated));
        assert_eq!(of(Rejection::Unknown), of(Rejection::Expired));
        let of = |rejection| document(&ledger::Error::DeviceToken(rejection).into());
        assert_eq!(of(Rejection::Unknown), of(Rejection::Inactive));
    }

    #[test]
    fn causes_stay_inside() {
        let (service, cause) = (AwsService::Kms, "arn:aws:kms:secret".into());
        let error = Error::Ledger(ledger::Error::Unavailable { service, cause });
        assert!(!response(&error, "r-1").body().contains("arn:"));
        assert_eq!(document(&error)["status"], 503);
        assert_eq!(response(&error, "r-1").headers()["retry-after"], "10");
    }

    #[test]
    fn a_bearer_challenge_has_an_error_code_only_with_a_token() {
        let challenge = |error: Error| {
            let response = response(&error, "r-1");
            response.headers()["www-authenticate"].to_str().unwrap().to_owned()
        };
        let missing = Error::DeviceToken(CredentialFault::Missing);
        let unknown = ledger::Error::DeviceToken(Rejection::Unknown).into();
        assert_eq!(challenge(missing), r#"Bearer realm="birthcert""#);
        assert_eq!(challenge(unknown), r#"Bearer realm="birthcert", error="invalid_token""#);
    }
}
