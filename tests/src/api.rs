//! A client of the API, as devices use it.

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

/// A response, read to its end.
#[derive(Clone, Debug)]
pub struct ApiResponse {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, as text.
    pub text: String,
    /// The body as JSON, if it is JSON.
    pub json: Value,
}

/// The response to `POST /enroll`.
#[derive(Clone, Deserialize)]
pub struct Enrolled {
    /// The device's id.
    pub device_id: DeviceId,
    /// The device token.
    pub device_token: String,
    /// The device's project.
    pub project_id: String,
    /// Time of the enrollment.
    pub timestamp: u64,
}

/// The response to `GET /identity`.
#[derive(Clone, Deserialize)]
pub struct Released {
    /// The device's id.
    pub device_id: DeviceId,
    /// The device's certificate.
    pub device_certificate_pem: String,
    /// The device's private key.
    pub device_private_key_pem: String,
    /// The device's certificate and the subordinate's.
    pub certificate_chain_pem: String,
    /// The root certificate.
    pub ca_certificate_pem: String,
    /// The certificate's serial number.
    pub serial_number: String,
    /// Start of the certificate's validity.
    pub not_before: String,
    /// End of the certificate's validity.
    pub not_after: String,
}

/// The response to `POST /identity`: these fields only, and above all no private key.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certified {
    /// The device's id.
    pub device_id: DeviceId,
    /// The device's certificate.
    pub device_certificate_pem: String,
    /// The device's certificate and the subordinate's.
    pub certificate_chain_pem: String,
    /// The root certificate.
    pub ca_certificate_pem: String,
    /// The certificate's serial number.
    pub serial_number: String,
    /// Start of the certificate's validity.
    pub not_before: String,
    /// End of the certificate's validity.
    pub not_after: String,
}

impl Api {
    /// Creates a client of the API at `url`.
    pub fn new(url: String) -> Self {
        Self { client: reqwest::Client::new(), url }
    }

    /// Returns a client that calls from another address of this machine, such as any in
    /// 127.0.0.0/8.
    ///
    /// # Errors
    /// If the client cannot be created.
    pub fn from_address(&self, address: IpAddr) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder().local_address(address).build()?;
        Ok(Self { client, url: self.url.clone() })
    }

    /// Sends a request.
    ///
    /// # Errors
    /// If there is no response.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
    ) -> anyhow::Result<ApiResponse> {
        let mut request = self.client.request(method, format!("{}{path}", self.url)).body(body);
        for (name, value) in headers {
            let name = HeaderName::from_bytes(name.as_bytes())?;
            request = request.header(name, HeaderValue::from_bytes(value.as_bytes())?);
        }
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await?;
        let json = serde_json::from_str(&text).unwrap_or_default();
        Ok(ApiResponse { status, headers, text, json })
    }

    /// Sends `POST /enroll` with a token and without a label.
    ///
    /// # Errors
    /// If there is no response.
    pub async fn enroll(&self, token: &str) -> anyhow::Result<ApiResponse> {
        self.send(Method::POST, "/enroll", &[(ENROLLMENT_TOKEN, token)], "").await
    }

    /// Enrolls a device.
    ///
    /// # Errors
    /// If the request is refused.
    pub async fn enrolled(&self, token: &EnrollmentToken) -> anyhow::Result<Enrolled> {
        self.enroll(&token.expose()).await?.success()
    }

    /// Sends `GET /identity` with a token.
    ///
    /// # Errors
    /// If there is no response.
    pub async fn identity(&self, token: &str) -> anyhow::Result<ApiResponse> {
        let authorization = format!("Bearer {token}");
        self.send(Method::GET, "/identity", &[("Authorization", &authorization)], "").await
    }

    /// Sends `POST /identity` with a token and a body.
    ///
    /// # Errors
    /// If there is no response.
    pub async fn request(
        &self,
        token: &str,
        content_type: &str,
        body: impl Into<reqwest::Body>,
    ) -> anyhow::Result<ApiResponse> {
        let authorization = format!("Bearer {token}");
        let headers = [("Authorization", authorization.as_str()), ("Content-Type", content_type)];
        self.send(Method::POST, "/identity", &headers, body).await
    }

    /// Sends `POST /identity` with a device's CSR, in PEM.
    ///
    /// # Errors
    /// If there is no response.
    pub async fn certify(&self, device: &Enrolled, csr: &str) -> anyhow::Result<ApiResponse> {
        self.request(&device.device_token, "application/pkcs10", csr.to_owned()).await
    }

    /// Gets a certificate for a device's key.
    ///
    /// # Errors
    /// If the request is refused.
    pub async fn certified(&self, device: &Enrolled, csr: &str) -> anyhow::Result<Certified> {
        self.certify(device, csr).await?.success()
    }

    /// Gets a device's identity.
    ///
    /// # Errors
    /// If the request is refused.
    pub async fn released(&self, device: &Enrolled) -> anyhow::Result<Released> {
        self.identity(&device.device_token).await?.success()
    }
}

impl ApiResponse {
    /// Returns a header's value, empty if it is absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Returns the body of a 200, after checking the headers that every success has.
    ///
    /// # Errors
    /// If the response is not a success.
    pub fn success<T: for<'a> Deserialize<'a>>(&self) -> anyhow::Result<T> {
        ensure!(self.status == 200, "{} {}", self.status, self.text);
        ensure!(self.header("content-type") == "application/json", "{:?}", self.headers);
        self.common()?;
        serde_json::from_str(&self.text).context("the body does not have the documented fields")
    }

    /// Checks that this is a problem document of `status` and `slug` with the right headers, and
    /// that it echoes none of `secrets`.
    ///
    /// # Errors
    /// If one of these does not hold.
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
