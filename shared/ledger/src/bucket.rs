//! The bucket that everything is published in, and from which a CDN serves it.
//!
//! What has a number never goes back: an object is replaced only on the condition that it still is the
//! one whose number was seen to be lower, so that of two publishers the slower one loses, however slow.

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

/// The member of an object's metadata with its number.
const NUMBER: &str = "number";
/// The member of an object's metadata with the digest of what it was made from.
const CONTENT: &str = "content";
/// How often an object is tried to be replaced against other publishers.
const ATTEMPTS: u32 = 20;

/// A bucket.
#[derive(Clone)]
pub struct Bucket {
    client: Client,
    name: String,
}

/// What is put into it.
#[derive(Clone, Debug)]
pub struct Object {
    /// Its path, without a slash at the beginning.
    pub key: String,
    /// Its media type.
    pub content_type: &'static str,
    /// How long caches may keep it.
    pub cache_control: &'static str,
    /// Its octets.
    pub body: Bytes,
}

/// What is known of an object without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its number; zero if somebody else put it there.
    pub number: u64,
    /// The digest of what it was made from; empty if somebody else put it there.
    pub content: String,
    tag: String,
}

/// What came of an object with a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// It is there.
    Done,
    /// One with this higher number is there.
    Newer(u64),
}

impl Bucket {
    /// The bucket `name`.
    #[must_use]
    pub fn new(client: Client, name: impl Into<String>) -> Self {
        Self { client, name: name.into() }
    }

    /// What is there under `key`.
    ///
    /// # Errors
    /// When S3 refuses or is away.
    pub async fn stored(&self, key: &str) -> Result<Option<Stored>> {
        match self.client.head_object().bucket(&self.name).key(key).send().await {
            Ok(found) => {
                let mut metadata = found.metadata.unwrap_or_default();
                let number = metadata.get(NUMBER).and_then(|number| number.parse().ok());
                Ok(Some(Stored {
                    number: number.unwrap_or_default(),
                    content: metadata.remove(CONTENT).unwrap_or_default(),
                    tag: found.e_tag.unwrap_or_default(),
                }))
            }
            Err(error) if status(&error) == Some(404) => Ok(None),
            Err(error) => Err(self.unavailable(key, &error)),
        }
    }

    /// Puts an object unless one with a higher number is there. Nobody gets in between as long as no two
    /// numbers have the same octets, which is so of CRLs: their tag is the octets'.
    ///
    /// # Errors
    /// When others keep coming first; or when S3 refuses or is away.
    pub async fn put_newer(&self, object: &Object, number: u64, content: &str) -> Result<Put> {
        for _ in 0..ATTEMPTS {
            let request = self.request(object).metadata(NUMBER, number.to_string());
            let request = request.metadata(CONTENT, content);
            let request = match self.stored(&object.key).await? {
                // The same number: an answer was lost, and this is what was put.
                Some(stored) if stored.number == number => return Ok(Put::Done),
                Some(stored) if stored.number > number => return Ok(Put::Newer(stored.number)),
                Some(stored) => request.if_match(stored.tag),
                None => request.if_none_match("*"),
            };
            match request.send().await {
                Ok(_) => return Ok(Put::Done),
                Err(error) if is_condition_failure(&error) => {}
                Err(error) => return Err(self.unavailable(&object.key, &error)),
            }
        }
        Err(Error::Contended)
    }

    /// Puts an object that is the same whoever makes it, unless it is there: its name or `content`
    /// says what is in it.
    ///
    /// # Errors
    /// When S3 refuses or is away.
    pub async fn put_if_other(&self, object: &Object, content: &str) -> Result<()> {
        if self.stored(&object.key).await?.is_some_and(|stored| stored.content == content) {
            return Ok(());
        }
        self.put(object, content).await
    }

    /// Puts an object that is the same whoever makes it, also if it is there: so it is new again to the
    /// bucket's rules for what is old.
    ///
    /// # Errors
    /// When S3 refuses or is away.
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

    /// What an SDK error comes to; a HEAD is refused by a status alone.
    fn unavailable<E>(&self, key: &str, error: &SdkError<E>) -> Error
    where
        E: std::error::Error + ProvideErrorMetadata + 'static,
    {
        let (name, service) = (&self.name, AwsService::S3);
        match outage(service, error) {
            Error::Unavailable { cause, .. } | Error::Refused { cause, .. }
                if status(error).is_some_and(|status| (400..500).contains(&status)) =>
            {
                Error::Refused { service, cause: format!("{key} in bucket {name}: {cause}") }
            }
            other => other,
        }
    }
}

fn status<E>(error: &SdkError<E>) -> Option<u16> {
    error.raw_response().map(|response| response.status().as_u16())
}

/// The object was replaced, put or deleted meanwhile, or is being so.
fn is_condition_failure(error: &SdkError<PutObjectError>) -> bool {
    matches!(status(error), Some(404 | 409 | 412))
        && error.as_service_error().and_then(ProvideErrorMetadata::code) != Some("NoSuchBucket")
}
