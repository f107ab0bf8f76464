//! Transactions, and the reasons for which DynamoDB cancels them.

use std::time::Duration;

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

/// A transaction that DynamoDB cancelled, without carrying out any write. The reasons are in the order of
/// the writes.
pub(super) struct Cancelled(SdkError<TransactWriteItemsError>);

impl Cancelled {
    /// Returns the index of the first write whose condition did not hold.
    pub(super) fn first_failed_condition(&self) -> Option<usize> {
        self.reasons().iter().position(|reason| reason.code() == Some(CONDITION))
    }

    /// Returns true if the condition of the write at `index` did not hold.
    pub(super) fn condition_failed(&self, index: usize) -> bool {
        self.reasons().get(index).is_some_and(|reason| reason.code() == Some(CONDITION))
    }

    /// Returns the item that failed the condition of the write at `index`, if the item exists and the
    /// write asked for it.
    pub(super) fn item(&self, index: usize) -> Option<&Item> {
        self.reasons().get(index)?.item()
    }

    /// Returns true if another transaction was writing one of the items.
    pub(super) fn is_conflict(&self) -> bool {
        self.codes().any(|code| code == CONFLICT)
    }

    /// Returns true if DynamoDB throttled one of the writes, whose condition was then not tested.
    pub(super) fn is_throttled(&self) -> bool {
        self.codes().any(is_throttling)
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

/// Pauses after an attempt that another transaction was in the way of, which takes that one some
/// milliseconds.
pub(super) async fn back_off(attempt: u32) {
    tokio::time::sleep(Duration::from_millis(5 << attempt.min(6))).await;
}

impl Store {
    /// Returns the error for a cancellation that the caller has no specific handling for.
    pub(super) fn cancellation(&self, cancelled: &Cancelled) -> Error {
        match () {
            () if cancelled.is_throttled() => Error::Throttled {
                service: AwsService::DynamoDb,
                cause: "the transaction was cancelled for throttling".into(),
            },
            () if cancelled.is_conflict() => Error::Contended,
            () => self.unavailable(&cancelled.0),
        }
    }

    /// Carries out all writes or none. Returns `Some` if DynamoDB cancelled the transaction.
    ///
    /// # Errors
    /// If DynamoDB is unavailable, or refuses for a reason other than a cancellation.
    pub(super) async fn transact(
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

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::types::error::TransactionCanceledException;
    use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
    use aws_smithy_types::body::SdkBody;

    use super::*;

    fn cancelled(codes: [&str; 2]) -> Cancelled {
        let reasons = codes.map(|code| CancellationReason::builder().code(code).build());
        let error = TransactionCanceledException::builder()
            .set_cancellation_reasons(Some(reasons.into()))
            .build();
        let response = HttpResponse::new(400.try_into().unwrap(), SdkBody::empty());
        let error = TransactWriteItemsError::TransactionCanceledException(error);
        Cancelled(SdkError::service_error(error, response))
    }

    #[test]
    fn a_throttled_write_is_a_throttled_transaction() {
        for codes in [["ThrottlingError", "None"], ["ConditionalCheckFailed", "ThrottlingError"]] {
            assert!(cancelled(codes).is_throttled());
        }
        let failed = cancelled(["ConditionalCheckFailed", "TransactionConflict"]);
        assert!(!failed.is_throttled());
    }

    #[test]
    fn reasons_are_in_the_order_of_the_writes() {
        let failed = cancelled(["None", "ConditionalCheckFailed"]);
        assert_eq!(failed.first_failed_condition(), Some(1));
        assert_eq!([0, 1, 2].map(|index| failed.condition_failed(index)), [false, true, false]);
        assert!(failed.item(1).is_none() && failed.item(2).is_none() && !failed.is_conflict());
        let conflict = cancelled(["TransactionConflict", "None"]);
        assert!(conflict.is_conflict() && conflict.first_failed_condition().is_none());
    }
}
