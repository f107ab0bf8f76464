//! Transactions, and why DynamoDB cancels them.

use aws_sdk_dynamodb::{
    error::SdkError,
    operation::transact_write_items::TransactWriteItemsError,
    types::{CancellationReason, TransactWriteItem},
};

use crate::{
    aws::{AwsService, is_throttling},
    error::{Error, Result},
    store::{client::Store, item::Item},
};

const CONDITION: &str = "ConditionalCheckFailed";
const CONFLICT: &str = "TransactionConflict";

/// A transaction that DynamoDB cancelled: none of its writes was carried out. The reasons stand in the
/// order of the writes.
pub(in crate::store) struct Cancelled(SdkError<TransactWriteItemsError>);

impl Cancelled {
    /// Returns the place of the first write whose condition did not hold.
    pub(in crate::store) fn first_failed(&self) -> Option<usize> {
        self.reasons().iter().position(|reason| reason.code() == Some(CONDITION))
    }

    /// Returns true if the condition of the write at `place` did not hold.
    pub(in crate::store) fn failed(&self, place: usize) -> bool {
        self.reasons().get(place).is_some_and(|reason| reason.code() == Some(CONDITION))
    }

    /// Returns the item on which the condition of the write at `place` was tested, if the write asked
    /// for it and there is one.
    pub(in crate::store) fn item(&self, place: usize) -> Option<&Item> {
        self.reasons().get(place)?.item()
    }

    /// Returns true if another transaction held one of the items.
    pub(in crate::store) fn is_conflict(&self) -> bool {
        self.codes().any(|code| code == CONFLICT)
    }

    /// Returns the error to report if DynamoDB throttled one of the writes. A throttle says nothing about
    /// conditions.
    pub(in crate::store) fn throttled(&self) -> Option<Error> {
        let cause = || "the transaction was cancelled for throttling".to_owned();
        let is_throttled = self.codes().any(is_throttling);
        is_throttled.then(|| Error::Throttled { service: AwsService::DynamoDb, cause: cause() })
    }

    /// Returns the SDK's error, for reasons that have no meaning here.
    pub(in crate::store) fn into_error(self) -> SdkError<TransactWriteItemsError> {
        self.0
    }

    fn reasons(&self) -> &[CancellationReason] {
        match self.0.as_service_error() {
            Some(TransactWriteItemsError::TransactionCanceledException(it)) => {
                it.cancellation_reasons()
            }
            _ => &[],
        }
    }

    fn codes(&self) -> impl Iterator<Item = &str> {
        self.reasons().iter().filter_map(CancellationReason::code)
    }
}

impl Store {
    /// Carries out all writes or none. Returns the reasons if DynamoDB cancelled the transaction.
    ///
    /// # Errors
    /// If DynamoDB is unavailable or refuses for any other reason.
    pub(in crate::store) async fn transact(
        &self,
        writes: Vec<TransactWriteItem>,
    ) -> Result<Option<Cancelled>> {
        let answer =
            self.client.transact_write_items().set_transact_items(Some(writes)).send().await;
        let Err(error) = answer else {
            return Ok(None);
        };
        match error.as_service_error() {
            Some(TransactWriteItemsError::TransactionCanceledException(_)) => {
                Ok(Some(Cancelled(error)))
            }
            _ => Err(self.unavailable(&error)),
        }
    }
}
