//! Conditional writes that several kinds of items share.

use aws_sdk_dynamodb::{
    error::BuildError,
    types::{
        ConditionCheck, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem,
        builders::{ConditionCheckBuilder, UpdateBuilder},
    },
};

use crate::{
    error::{Error, OperatorError, Result},
    store::{client::Store, item::Item},
};

impl Store {
    /// Creates an item that must not exist yet. `what` names it in the error.
    pub(super) async fn create(&self, item: Item, what: String) -> Result<()> {
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
        // The SDK may have retried after a lost response, and found its own write.
        if self.conflicting_item(&error)? == Some(item) {
            Ok(())
        } else {
            Err(OperatorError::Exists(what).into())
        }
    }

    /// Creates an item that must not exist yet if `parent` exists, in one transaction. `parent_name` and
    /// `what` name the two in errors.
    pub(super) async fn create_with_parent(
        &self,
        parent: Item,
        parent_name: String,
        item: Item,
        what: String,
    ) -> Result<()> {
        let parent = condition_write(
            ConditionCheck::builder()
                .table_name(&self.table)
                .set_key(Some(parent))
                .condition_expression("attribute_exists(PK)"),
        )?;
        let Some(cancelled) = self.transact(vec![parent, self.new_item_write(item)?]).await? else {
            return Ok(());
        };
        match cancelled.first_failed_condition() {
            Some(0) => Err(OperatorError::Missing(parent_name).into()),
            Some(_) => Err(OperatorError::Exists(what).into()),
            None => Err(self.cancellation(&cancelled)),
        }
    }

    /// Returns the write that creates an item that must not exist yet.
    pub(super) fn new_item_write(&self, item: Item) -> Result<TransactWriteItem> {
        let put = Put::builder()
            .table_name(&self.table)
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(PK)")
            .build()
            .map_err(incomplete)?;
        Ok(TransactWriteItem::builder().put(put).build())
    }
}

/// Converts an update to a write of a transaction.
pub(super) fn update_write(update: UpdateBuilder) -> Result<TransactWriteItem> {
    let update = update.build().map_err(incomplete)?;
    Ok(TransactWriteItem::builder().update(update).build())
}

/// Converts a condition on an item to a write of a transaction, which changes nothing.
pub(super) fn condition_write(check: ConditionCheckBuilder) -> Result<TransactWriteItem> {
    let check = check.build().map_err(incomplete)?;
    Ok(TransactWriteItem::builder().condition_check(check).build())
}

/// Maps the error of an SDK builder that lacks a required field. Ours set all of them.
pub(super) fn incomplete(error: BuildError) -> Error {
    Error::Incomplete(error.to_string())
}
