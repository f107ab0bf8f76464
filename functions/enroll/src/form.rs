//! The optional form of an enrollment request: at most one field, `label`.

use futures_util::stream;
use http::header::CONTENT_TYPE;
use lambda::{Error, Result};
use lambda_http::Request;
use percent_encoding::percent_decode;
use pki::names::{InvalidLabel, Label};

/// Maximum length of the body in bytes.
pub(crate) const MAX_BYTES: usize = 8 * 1024;

const FIELD: &str = "label";
const UNKNOWN_FIELD: &str = "the form may only have the field label";
const REPEATED: &str = "the form has more than one label";
const INSTEAD: &str = "Send application/x-www-form-urlencoded or multipart/form-data, or no body.";
const NOT_UTF8: &str = "the form is not UTF-8";

/// Reads the label from a request's form.
///
/// # Errors
/// If the body is too large, has an unsupported content type, or is not a valid form.
pub(crate) async fn label(request: &Request) -> Result<Option<Label>> {
    let body = lambda::http::body(request, MAX_BYTES)?;
    let Some(media_type) = lambda::http::media_type(request) else {
        return Ok(None);
    };
    if body.is_empty() {
        return Ok(None);
    }
    let text = match media_type.as_str() {
        "application/x-www-form-urlencoded" => urlencoded(body)?,
        "multipart/form-data" => multipart(body, content_type(request)).await?,
        _ => return Err(Error::UnsupportedMediaType { instead: INSTEAD }),
    };
    let label = text.map(|text| Label::try_from(text.as_str())).transpose();
    label.map_err(|invalid: InvalidLabel| Error::Form(invalid.text()))
}

/// Returns the content type with its parameters.
fn content_type(request: &Request) -> &str {
    let value = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    value.unwrap_or_default()
}

/// Parses the form. The crate form_urlencoded would replace invalid UTF-8 instead of refusing it.
fn urlencoded(body: &[u8]) -> Result<Option<String>> {
    let decode = |text: &[u8]| {
        let spaced: Vec<u8> = text.iter().map(|&b| if b == b'+' { b' ' } else { b }).collect();
        let decoded = percent_decode(&spaced).decode_utf8().map(String::from);
        decoded.map_err(|_| Error::Form(NOT_UTF8))
    };
    let mut label = None;
    for pair in body.split(|&byte| byte == b'&').filter(|pair| !pair.is_empty()) {
        let mut halves = pair.splitn(2, |&byte| byte == b'=');
        let (name, value) = (halves.next().unwrap_or_default(), halves.next().unwrap_or_default());
        if decode(name)? != FIELD {
            return Err(Error::Form(UNKNOWN_FIELD));
        }
        if label.replace(decode(value)?).is_some() {
            return Err(Error::Form(REPEATED));
        }
    }
    Ok(label)
}

async fn multipart(body: &[u8], content_type: &str) -> Result<Option<String>> {
    let boundary = multer::parse_boundary(content_type)
        .map_err(|_| Error::Form("the content type has no boundary"))?;
    let whole = stream::iter([Ok::<_, std::convert::Infallible>(body.to_vec())]);
    let mut parts = multer::Multipart::new(whole, boundary);
    let broken = |_| Error::Form("the multipart form is malformed");
    let mut label = None;
    while let Some(part) = parts.next_field().await.map_err(broken)? {
        if part.name() != Some(FIELD) {
            return Err(Error::Form(UNKNOWN_FIELD));
        }
        let value = part.bytes().await.map_err(broken)?;
        let value = String::from_utf8(value.into()).map_err(|_| Error::Form(NOT_UTF8))?;
        if label.replace(value).is_some() {
            return Err(Error::Form(REPEATED));
        }
    }
    Ok(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(content_type: &str, body: &[u8]) -> Result<Option<String>> {
        let request = http::Request::builder()
            .header(CONTENT_TYPE, content_type)
            .body(body.to_vec().into())
            .unwrap();
        Ok(label(&request).await?.map(|label| label.as_str().to_owned()))
    }

    async fn fault(content_type: &str, body: &[u8]) -> String {
        read(content_type, body).await.unwrap_err().to_string()
    }

    const URLENCODED: &str = "application/x-www-form-urlencoded";
    const MULTIPART: &str = "multipart/form-data; boundary=XX";

    fn part(disposition: &str, value: &[u8]) -> Vec<u8> {
        let head = format!("--XX\r\nContent-Disposition: form-data; {disposition}\r\n\r\n");
        [head.as_bytes(), value, b"\r\n"].concat()
    }

    #[tokio::test]
    async fn reads_both_kinds_of_form() {
        let urlencoded = read(URLENCODED, b"label=pump+7%C3%A9").await.unwrap();
        assert_eq!(urlencoded.as_deref(), Some("pump 7é"));
        let charset = "application/X-WWW-form-urlencoded; charset=utf-8";
        assert_eq!(read(charset, b"label=x").await.unwrap().as_deref(), Some("x"));

        let body = [part("name=\"label\"", "pump 7é".as_bytes()), b"--XX--\r\n".to_vec()].concat();
        assert_eq!(read(MULTIPART, &body).await.unwrap().as_deref(), Some("pump 7é"));
    }

    #[tokio::test]
    async fn a_request_without_a_form_has_no_label() {
        assert_eq!(read(URLENCODED, b"").await.unwrap(), None);
        assert_eq!(read("text/plain", b"").await.unwrap(), None);
        assert_eq!(read(MULTIPART, b"--XX--\r\n").await.unwrap(), None);
        let untyped = http::Request::new(lambda_http::Body::from("label=x"));
        assert!(label(&untyped).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn refuses_invalid_forms() {
        assert!(fault(URLENCODED, b"label=a&label=b").await.contains("more than one"));
        assert!(fault(URLENCODED, b"lable=a").await.contains("only have the field label"));
        assert!(fault(URLENCODED, b"label=%FF").await.contains("UTF-8"));
        assert!(fault(URLENCODED, b"label=\xff").await.contains("UTF-8"));
        assert!(fault(URLENCODED, b"label").await.contains("empty"));
        assert!(fault(URLENCODED, b"label=a%0Ab").await.contains("control"));
        assert!(fault(URLENCODED, b"label=a%E2%80%AEb").await.contains("invisible"));
        assert!(matches!(
            read("text/plain", b"label=x").await,
            Err(Error::UnsupportedMediaType { .. })
        ));
        assert!(matches!(
            read(URLENCODED, &[b'x'; MAX_BYTES + 1]).await,
            Err(Error::BodyTooLarge { limit: MAX_BYTES })
        ));
    }

    #[tokio::test]
    async fn refuses_malformed_multipart() {
        let label = part("name=\"label\"", b"a");
        let end = b"--XX--\r\n".to_vec();
        let whole = |parts: &[&[u8]]| parts.concat();

        assert!(fault("multipart/form-data", &label).await.contains("boundary"));
        assert!(fault(MULTIPART, b"nothing").await.contains("malformed"));
        assert!(fault(MULTIPART, &label).await.contains("malformed"), "no closing boundary");
        assert!(fault(MULTIPART, &whole(&[&label, &label, &end])).await.contains("more than one"));
        let other = part("name=\"other\"", b"a");
        assert!(fault(MULTIPART, &whole(&[&other, &end])).await.contains("only have"));
        let binary = part("name=\"label\"", b"\xff\xfe");
        assert!(fault(MULTIPART, &whole(&[&binary, &end])).await.contains("UTF-8"));
    }
}
