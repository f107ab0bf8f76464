//! The S3 bucket in which CRLs, CA chains and deny lists are published, and from which a CDN
//! serves them.
//!
//! S3 replaces an object only if it has not changed since the publisher read it (`If-Match`). What a publisher
//! writes with [`Bucket::put_if`] can therefore depend on what it replaces: a CRL, or the deny list, is built on
//! the one before it. [`Bucket::put_newer`] is for the other forms of a CRL: their number never decreases, however
//! late a write arrives.

use aws_sdk_s3::{
    Client,
    error::SdkError,
    operation::put_object::{PutObjectError, builders::PutObjectFluentBuilder},
    primitives::ByteStream,
};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use bytes::Bytes;

use crate::{
    aws::{AwsService, outage},
    error::{Error, Result},
};

/// Metadata key for an object's number.
const NUMBER: &str = "number";
/// Metadata key for the digest of an object's source.
const CONTENT: &str = "content";
/// Attempts to replace an object that other publishers replace at the same time.
const ATTEMPTS: u32 = 20;

/// Limit of the memory that is reserved for an object before it is read: more than the CRL of a million
/// certificates needs.
const MAX_RESERVED: usize = 64 * 1024 * 1024;

/// A handle to a bucket.
#[derive(Clone)]
pub struct Bucket {
    client: Client,
    name: String,
}

/// An object to put into the bucket.
#[derive(Clone, Debug)]
pub struct Object {
    /// The object's key: a path without a leading slash.
    pub key: String,
    /// The `Content-Type` header.
    pub content_type: &'static str,
    /// The `Cache-Control` header.
    pub cache_control: &'static str,
    /// The content.
    pub body: Bytes,
}

/// Metadata of an object in the bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredObject {
    /// The object's number; zero if the object has none.
    pub number: u64,
    /// The digest of the object's source; empty if the object has none.
    pub content: String,
    /// The version.
    pub version: Version,
}

/// The version of an object in the bucket: its ETag, which is a digest of its bytes. Two versions with equal
/// bytes are one. By default, the object does not exist.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Version(Option<String>);

/// The outcome of [`Bucket::put_newer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutOutcome {
    /// The object is in the bucket.
    Stored,
    /// The bucket has an object with this higher number.
    Newer(u64),
}

impl Bucket {
    /// Returns a handle to the bucket `name`.
    #[must_use]
    pub fn new(client: Client, name: impl Into<String>) -> Self {
        Self { client, name: name.into() }
    }

    /// Returns the metadata of the object `key`, if it exists.
    ///
    /// # Errors
    /// If S3 refuses or is unavailable.
    pub async fn head(&self, key: &str) -> Result<Option<StoredObject>> {
        match self.client.head_object().bucket(&self.name).key(key).send().await {
            Ok(found) => {
                let mut metadata = found.metadata.unwrap_or_default();
                let number = metadata.get(NUMBER).and_then(|number| number.parse().ok());
                Ok(Some(StoredObject {
                    number: number.unwrap_or_default(),
                    content: metadata.remove(CONTENT).unwrap_or_default(),
                    version: Version(Some(found.e_tag.unwrap_or_default())),
                }))
            }
            Err(error) if status(&error) == Some(404) => Ok(None),
            Err(error) => Err(self.unavailable(key, &error)),
        }
    }

    /// Returns the bytes of the object `key`, if it exists, and its version.
    ///
    /// # Errors
    /// If S3 refuses or is unavailable, also before the last byte.
    pub async fn get(&self, key: &str) -> Result<(Option<Vec<u8>>, Version)> {
        let found = match self.client.get_object().bucket(&self.name).key(key).send().await {
            Ok(found) => found,
            Err(error) if status(&error) == Some(404) => return Ok((None, Version::default())),
            Err(error) => return Err(self.unavailable(key, &error)),
        };
        let length = found.content_length.and_then(|length| usize::try_from(length).ok());
        // One buffer of the right size: a CRL may have tens of megabytes.
        let mut bytes = Vec::with_capacity(length.unwrap_or_default().min(MAX_RESERVED));
        let mut body = found.body;
        while let Some(chunk) = body.next().await {
            let chunk = chunk.map_err(|error| Error::Unavailable {
                service: AwsService::S3,
                cause: format!("{key} in bucket {}: {error}", self.name),
            })?;
            bytes.extend_from_slice(&chunk);
        }
        Ok((Some(bytes), Version(Some(found.e_tag.unwrap_or_default()))))
    }

    /// Puts an object if the bucket still has the version `seen`. Returns false if it does not.
    ///
    /// The response to an earlier attempt of the SDK may have been lost. Then this returns false although the
    /// object was put, and the caller finds that out when it reads the object again.
    ///
    /// # Errors
    /// If S3 refuses or is unavailable.
    pub async fn put_if(
        &self,
        object: &Object,
        number: Option<u64>,
        content: &str,
        seen: &Version,
    ) -> Result<bool> {
        let mut request = self.request(object).metadata(CONTENT, content);
        if let Some(number) = number {
            request = request.metadata(NUMBER, number.to_string());
        }
        match seen.condition(request).send().await {
            Ok(_) => Ok(true),
            Err(error) if is_condition_failure(&error) => Ok(false),
            Err(error) => Err(self.unavailable(&object.key, &error)),
        }
    }

    /// Puts an object unless the bucket has one with the same or a higher number.
    ///
    /// The ETag is a digest of the content, so content must differ from number to number. A CRL
    /// contains its number.
    ///
    /// # Errors
    /// If other publishers replace the object in every attempt, or S3 refuses or is unavailable.
    pub async fn put_newer(
        &self,
        object: &Object,
        number: u64,
        content: &str,
    ) -> Result<PutOutcome> {
        for _ in 0..ATTEMPTS {
            let request = self.request(object).metadata(NUMBER, number.to_string());
            let request = request.metadata(CONTENT, content);
            let request = match self.head(&object.key).await? {
                // The response to an earlier attempt was lost: this is what it put.
                Some(stored) if stored.number == number => return Ok(PutOutcome::Stored),
                Some(stored) if stored.number > number => {
                    return Ok(PutOutcome::Newer(stored.number));
                }
                Some(stored) => stored.version.condition(request),
                None => Version::default().condition(request),
            };
            match request.send().await {
                Ok(_) => return Ok(PutOutcome::Stored),
                Err(error) if is_condition_failure(&error) => {}
                Err(error) => return Err(self.unavailable(&object.key, &error)),
            }
        }
        Err(Error::Contended)
    }

    /// Puts an object without a number, unless the bucket has it with the same `content` digest.
    ///
    /// # Errors
    /// If S3 refuses or is unavailable.
    pub async fn put_if_changed(&self, object: &Object, content: &str) -> Result<()> {
        if self.head(&object.key).await?.is_some_and(|stored| stored.content == content) {
            return Ok(());
        }
        self.put(object, content).await
    }

    /// Puts an object without a number, even if the bucket has it already. This renews its age for the
    /// bucket's lifecycle rules.
    ///
    /// # Errors
    /// If S3 refuses or is unavailable.
    pub async fn put(&self, object: &Object, content: &str) -> Result<()> {
        let request = self.request(object).metadata(CONTENT, content);
        let put = request.send().await.map(drop);
        put.map_err(|error| self.unavailable(&object.key, &error))
    }

    fn request(&self, object: &Object) -> PutObjectFluentBuilder {
        self.client
            .put_object()
            .bucket(&self.name)
            .key(&object.key)
            .content_type(object.content_type)
            .cache_control(object.cache_control)
            .body(ByteStream::from(object.body.clone()))
    }

    /// Maps an SDK error. The response to a HEAD has no body, so its status alone tells a refusal.
    fn unavailable<E>(&self, key: &str, error: &SdkError<E>) -> Error
    where
        E: std::error::Error + ProvideErrorMetadata + 'static,
    {
        let (name, service) = (&self.name, AwsService::S3);
        let refused = |cause: String| Error::Refused {
            service,
            cause: format!("{key} in bucket {name}: {cause}"),
        };
        match outage(service, error) {
            Error::Unavailable { cause, .. }
                if error.as_service_error().and_then(ProvideErrorMetadata::code).is_none()
                    && status(error).is_some_and(|status| (400..500).contains(&status)) =>
            {
                refused(cause)
            }
            Error::Refused { cause, .. } => refused(cause),
            other => other,
        }
    }
}

impl Version {
    /// Adds the condition that the object has this version.
    fn condition(&self, put: PutObjectFluentBuilder) -> PutObjectFluentBuilder {
        match &self.0 {
            Some(e_tag) => put.if_match(e_tag),
            None => put.if_none_match("*"),
        }
    }
}

fn status<E>(error: &SdkError<E>) -> Option<u16> {
    error.raw_response().map(|response| response.status().as_u16())
}

/// Returns true if another publisher put, replaced or deleted the object since it was read.
fn is_condition_failure(error: &SdkError<PutObjectError>) -> bool {
    matches!(status(error), Some(404 | 409 | 412))
        && error.as_service_error().and_then(ProvideErrorMetadata::code) != Some("NoSuchBucket")
}

#[cfg(test)]
mod tests {
    use aws_sdk_s3::error::ErrorMetadata;
    use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
    use aws_smithy_types::body::SdkBody;

    use super::*;

    #[test]
    fn a_status_alone_tells_a_refusal_and_a_code_tells_more() {
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(aws_sdk_s3::config::BehaviorVersion::latest())
            .build();
        let bucket = Bucket::new(Client::from_conf(config), "crls");
        let mapped = |status: u16, error: ErrorMetadata| {
            let response = HttpResponse::new(status.try_into().unwrap(), SdkBody::empty());
            let error = SdkError::service_error(PutObjectError::generic(error), response);
            bucket.unavailable("crl/device.crl", &error)
        };
        let coded = |code: &str| ErrorMetadata::builder().code(code).build();
        let refused = mapped(403, ErrorMetadata::builder().build());
        assert!(
            matches!(refused, Error::Refused { cause, .. } if cause.contains("crl/device.crl"))
        );
        let refused = mapped(403, coded("AccessDenied"));
        assert!(
            matches!(refused, Error::Refused { cause, .. } if cause.contains("crl/device.crl"))
        );
        assert!(matches!(mapped(400, coded("RequestTimeout")), Error::Unavailable { .. }));
        assert!(matches!(mapped(500, coded("InternalError")), Error::Unavailable { .. }));
        assert!(matches!(mapped(503, coded("SlowDown")), Error::Throttled { .. }));
    }
}
