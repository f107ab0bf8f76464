//! Conflicts of single writes with transactions.

use aws_sdk_dynamodb::operation::{
    delete_item::DeleteItemError, put_item::PutItemError, update_item::UpdateItemError,
};
use aws_smithy_runtime_api::client::{
    interceptors::context::InterceptorContext,
    retries::classifiers::{ClassifyRetry, RetryAction},
};

/// The code with which DynamoDB rejects a single write to an item that a transaction is writing.
pub(super) const CONFLICT: &str = "TransactionConflictException";

/// Lets the SDK retry a single write that a transaction was in the way of. Such a write was not carried out.
/// By default the SDK gives up, although the transaction ends within milliseconds.
#[derive(Debug)]
pub(crate) struct RetryConflicts;

impl ClassifyRetry for RetryConflicts {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        let error = context.output_or_error().and_then(Result::err);
        let Some(error) = error.and_then(|error| error.as_operation_error()) else {
            return RetryAction::NoActionIndicated;
        };
        let put = error.downcast_ref().is_some_and(PutItemError::is_transaction_conflict_exception);
        let update =
            error.downcast_ref().is_some_and(UpdateItemError::is_transaction_conflict_exception);
        let delete =
            error.downcast_ref().is_some_and(DeleteItemError::is_transaction_conflict_exception);
        match put || update || delete {
            true => RetryAction::transient_error(),
            false => RetryAction::NoActionIndicated,
        }
    }

    fn name(&self) -> &'static str {
        "RetryConflicts"
    }
}
