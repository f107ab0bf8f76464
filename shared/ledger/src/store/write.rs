//! Writes that have a condition in common.

use aws_sdk_dynamodb::{
    error::{BuildError, SdkError},
    operation::put_item::PutItemError,
    types::{
        ConditionCheck, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem,
        builders::UpdateBuilder,
    },
};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use crate::{
    error::{Error, OperatorError, Result},
    store::{client::Store, item::Item},
};

impl Store {
    /// Puts an item that must not be there yet; `what` names it in the error.
    pub(in crate::store) async fn create(&self, item: Item, what: String) -> Result<()> {
        let answer = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item.clone()))
            .condition_expression("attribute_not_exists(PK)")
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        let Err(error) = answer else {
            return Ok(());
        };
        match error.as_service_error() {
            // The SDK retries where an answer was lost, and finds what it wrote itself.
            Some(PutItemError::ConditionalCheckFailedException(it)) if it.item() == Some(&item) => {
                Ok(())
            }
            Some(PutItemError::ConditionalCheckFailedException(_)) => {
                Err(OperatorError::Exists(what).into())
            }
            _ => Err(self.unavailable(&error)),
        }
    }

    /// Puts an item that must not be there yet, beside one that must, in one transaction. `parent_name` and
    /// `what` name the two in errors.
    pub(in crate::store) async fn create_beside(
        &self,
        parent: Item,
        parent_name: String,
        item: Item,
        what: String,
    ) -> Result<()> {
        let parent = ConditionCheck::builder()
            .table_name(&self.table)
            .set_key(Some(parent))
            .condition_expression("attribute_exists(PK)")
            .build()
            .map_err(incomplete)?;
        let parent = TransactWriteItem::builder().condition_check(parent).build();
        let Some(cancelled) = self.transact(vec![parent, self.put_new(item)?]).await? else {
            return Ok(());
        };
        match cancelled.first_failed() {
            Some(0) => Err(OperatorError::Missing(parent_name).into()),
            Some(_) => Err(OperatorError::Exists(what).into()),
            None => Err(self.unavailable(&cancelled.into_error())),
        }
    }

    /// The write that puts an item that must not be there yet.
    pub(in crate::store) fn put_new(&self, item: Item) -> Result<TransactWriteItem> {
        let put = Put::builder()
            .table_name(&self.table)
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(PK)")
            .build()
            .map_err(incomplete)?;
        Ok(TransactWriteItem::builder().put(put).build())
    }
}

/// The part of a transaction that updates an item.
pub(in crate::store) fn update_write(update: UpdateBuilder) -> Result<TransactWriteItem> {
    let update = update.build().map_err(incomplete)?;
    Ok(TransactWriteItem::builder().update(update).build())
}

/// The SDK's builders want what they cannot do without; ours all have it.
pub(in crate::store) fn incomplete(error: BuildError) -> Error {
    Error::Incomplete(error.to_string())
}

pub(in crate::store) fn is_condition_failure<E: ProvideErrorMetadata>(error: &SdkError<E>) -> bool {
    let code = error.as_service_error().and_then(ProvideErrorMetadata::code);
    code == Some("ConditionalCheckFailedException")
}
