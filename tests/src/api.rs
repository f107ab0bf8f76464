//! The API as a device sees it.

use std::net::IpAddr;

use anyhow::{Context as _, ensure};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use pki::names::DeviceId;
use pki::token::EnrollmentToken;
use serde::Deserialize;
use serde_json::Value;

/// The header of `POST /enroll`.
pub const ENROLLMENT_TOKEN: &str = "Thistle-Device-Enrollment-Token";

/// A client of the API.
#[derive(Clone)]
pub struct Api {
    client: reqwest::Client,
    url: String,
}

/// An answer, read to its end.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, as text.
    pub text: String,
    /// The body, as JSON if it is.
    pub json: Value,
}

/// What `POST /enroll` answers.
#[derive(Clone, Deserialize)]
pub struct Enrolled {
    /// The device's id.
    pub device_id: DeviceId,
    /// Its token.
    pub device_token: String,
    /// Its project.
    pub project_id: String,
    /// When.
    pub timestamp: u64,
}

/// What `GET /identity` answers.
#[derive(Clone, Deserialize)]
pub struct Released {
    /// The device's id.
    pub device_id: DeviceId,
    /// The leaf.
    pub device_certificate_pem: String,
    /// Its key.
    pub device_private_key_pem: String,
    /// Leaf and subordinate.
    pub certificate_chain_pem: String,
    /// The root.
    pub ca_certificate_pem: String,
    /// The leaf's.
    pub serial_number: String,
    /// The leaf's.
    pub not_before: String,
    /// The leaf's.
    pub not_after: String,
}

/// What `POST /identity` answers: that and nothing else, no private key above all.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certified {
    /// The device's id.
    pub device_id: DeviceId,
    /// The leaf.
    pub device_certificate_pem: String,
    /// Leaf and subordinate.
    pub certificate_chain_pem: String,
    /// The root.
    pub ca_certificate_pem: String,
    /// The leaf's.
    pub serial_number: String,
    /// The leaf's.
    pub not_before: String,
    /// The leaf's.
    pub not_after: String,
}

impl Api {
    /// The API at `url`.
    pub fn new(url: String) -> Self {
        Self { client: reqwest::Client::new(), url }
    }

    /// The same API, called from another address of this machine: all of 127.0.0.0/8 is.
    ///
    /// # Errors
    /// There is no client.
    pub fn from_address(&self, address: IpAddr) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder().local_address(address).build()?;
        Ok(Self { client, url: self.url.clone() })
    }

    /// Sends a request.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
    ) -> anyhow::Result<Answer> {
        let mut request = self.client.request(method, format!("{}{path}", self.url)).body(body);
        for (name, value) in headers {
            let name = HeaderName::from_bytes(name.as_bytes())?;
            request = request.header(name, HeaderValue::from_bytes(value.as_bytes())?);
        }
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await?;
        let json = serde_json::from_str(&text).unwrap_or_default();
        Ok(Answer { status, headers, text, json })
    }

    /// `POST /enroll` with a token and no label.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn enroll(&self, token: &str) -> anyhow::Result<Answer> {
        self.send(Method::POST, "/enroll", &[(ENROLLMENT_TOKEN, token)], "").await
    }

    /// Enrolls a device.
    ///
    /// # Errors
    /// It was refused.
    pub async fn enrolled(&self, token: &EnrollmentToken) -> anyhow::Result<Enrolled> {
        self.enroll(&token.expose()).await?.success()
    }

    /// `GET /identity` with a token.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn identity(&self, token: &str) -> anyhow::Result<Answer> {
        let authorization = format!("Bearer {token}");
        self.send(Method::GET, "/identity", &[("Authorization", &authorization)], "").await
    }

    /// `POST /identity` with a token and a body.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn request(
        &self,
        token: &str,
        content_type: &str,
        body: impl Into<reqwest::Body>,
    ) -> anyhow::Result<Answer> {
        let authorization = format!("Bearer {token}");
        let headers = [("Authorization", authorization.as_str()), ("Content-Type", content_type)];
        self.send(Method::POST, "/identity", &headers, body).await
    }

    /// `POST /identity` with a device's request, in PEM.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn certify(&self, device: &Enrolled, csr: &str) -> anyhow::Result<Answer> {
        self.request(&device.device_token, "application/pkcs10", csr.to_owned()).await
    }

    /// Gets a device's key certified.
    ///
    /// # Errors
    /// It was refused.
    pub async fn certified(&self, device: &Enrolled, csr: &str) -> anyhow::Result<Certified> {
        self.certify(device, csr).await?.success()
    }

    /// Gets a device's identity.
    ///
    /// # Errors
    /// It was refused.
    pub async fn released(&self, device: &Enrolled) -> anyhow::Result<Released> {
        self.identity(&device.device_token).await?.success()
    }
}

impl Answer {
    /// A header, or nothing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The body of a 200, after a check of the headers that every success has.
    ///
    /// # Errors
    /// It is none.
    pub fn success<T: for<'a> Deserialize<'a>>(&self) -> anyhow::Result<T> {
        ensure!(self.status == 200, "{} {}", self.status, self.text);
        ensure!(self.header("content-type") == "application/json", "{:?}", self.headers);
        self.common()?;
        serde_json::from_str(&self.text).context("the body has not the documented fields")
    }

    /// Checks that this is a problem document of `status` and `slug`, with the headers that go with
    /// it, and that it repeats none of `secrets`.
    ///
    /// # Errors
    /// It is not.
    pub fn problem(&self, status: u16, slug: &str, secrets: &[&str]) -> anyhow::Result<()> {
        ensure!(self.status == status, "{} instead of {status}: {}", self.status, self.text);
        ensure!(self.header("content-type") == "application/problem+json", "{:?}", self.headers);
        self.common()?;
        let json = &self.json;
        ensure!(json["type"] == format!("/docs/errors.md#{slug}"), "{}", self.text);
        ensure!(json["status"] == status && json["request_id"] == self.header("x-request-id"));
        ensure!(json["title"].as_str().is_some_and(|title| !title.is_empty()));
        ensure!(json["detail"].as_str().is_some_and(|detail| !detail.is_empty()));
        ensure!(self.headers.contains_key("www-authenticate") == (status == 401));
        ensure!(self.headers.contains_key("allow") == (status == 405));
        ensure!(self.headers.contains_key("retry-after") == matches!(status, 429 | 503));
        for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
            ensure!(!self.text.contains(secret), "{secret:?} is repeated in {}", self.text);
            ensure!(!format!("{:?}", self.headers).contains(secret), "repeated in a header");
        }
        Ok(())
    }

    fn common(&self) -> anyhow::Result<()> {
        ensure!(self.header("cache-control") == "no-store", "{:?}", self.headers);
        ensure!(!self.header("x-request-id").is_empty(), "{:?}", self.headers);
        Ok(())
    }
}
