//! Access to the table, shared by all parts of the store.

use aws_sdk_dynamodb::{Client, error::SdkError};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use crate::{
    aws::{AwsService, RetryConflicts, outage},
    error::{Error, Result},
    store::layout::META,
};

/// A handle to the DynamoDB table.
#[derive(Clone)]
pub struct Store {
    pub(super) client: Client,
    pub(super) table: String,
}

impl Store {
    /// Returns a handle to the table `table`.
    #[must_use]
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        let config = client.config().to_builder().retry_classifier(RetryConflicts).build();
        Self { client: Client::from_conf(config), table: table.into() }
    }

    /// Returns the table's name.
    #[must_use]
    pub fn table_name(&self) -> &str {
        &self.table
    }

    /// Checks that the table can be read. This also opens the connection.
    ///
    /// # Errors
    /// If the table does not exist, or DynamoDB refuses or is unavailable.
    pub async fn check(&self) -> Result<()> {
        // No item has this key; the roles of the functions may read it.
        self.get::<serde::de::IgnoredAny>("CHECK".into(), META.into()).await.map(drop)
    }

    /// Maps an SDK error that the caller has no specific handling for. A refusal names the table, because
    /// the table's name or the permissions for it are the likely cause.
    pub(super) fn unavailable<E>(&self, error: &SdkError<E>) -> Error
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
