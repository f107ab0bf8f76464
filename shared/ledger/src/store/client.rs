//! The handle to the table.

use aws_sdk_dynamodb::{Client, error::SdkError};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use crate::{
    aws::{AwsService, outage},
    error::{Error, Result},
    store::layout::META,
};

/// The table.
#[derive(Clone)]
pub struct Store {
    pub(in crate::store) client: Client,
    pub(in crate::store) table: String,
}

impl Store {
    /// The table `table`.
    #[must_use]
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        Self { client, table: table.into() }
    }

    /// Its name.
    #[must_use]
    pub fn table_name(&self) -> &str {
        &self.table
    }

    /// Checks that the table is there, which warms the connection too.
    ///
    /// # Errors
    /// When it is not, or the store is away.
    pub async fn check(&self) -> Result<()> {
        // No item has this key: what matters is that the table answers.
        self.get::<serde::de::IgnoredAny>("CHECK".into(), META.into()).await.map(drop)
    }

    /// What an SDK error that has no meaning of its own here comes to. Where AWS refuses, the table's
    /// name or what may be done with it is at fault.
    pub(in crate::store) fn unavailable<E>(&self, error: &SdkError<E>) -> Error
    where
        E: std::error::Error + ProvideErrorMetadata + 'static,
    {
        match outage(AwsService::DynamoDb, error) {
            Error::Refused { service, cause } => {
                Error::Refused { service, cause: format!("table {}: {cause}", self.table) }
            }
            other => other,
        }
    }
}
