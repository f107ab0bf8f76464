//! Conditions of single writes that did not hold.

use aws_sdk_dynamodb::{
    error::SdkError,
    operation::{
        delete_item::DeleteItemError, put_item::PutItemError, update_item::UpdateItemError,
    },
    types::{AttributeValue, error::ConditionalCheckFailedException},
};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use crate::{
    error::Result,
    store::{client::Store, item::Item},
};

/// The error of a single conditional write.
pub(super) trait ConditionalWriteError {
    /// Returns the exception for a condition that did not hold.
    fn condition_failure(&self) -> Option<&ConditionalCheckFailedException>;
}

macro_rules! conditional_write_error {
    ($($error:ident),+) => {
        $(impl ConditionalWriteError for $error {
            fn condition_failure(&self) -> Option<&ConditionalCheckFailedException> {
                match self {
                    Self::ConditionalCheckFailedException(exception) => Some(exception),
                    _ => None,
                }
            }
        })+
    };
}

conditional_write_error!(DeleteItemError, PutItemError, UpdateItemError);

/// Returns true if the condition of a write did not hold.
pub(super) fn is_condition_failure<E: ConditionalWriteError>(error: &SdkError<E>) -> bool {
    error.as_service_error().and_then(E::condition_failure).is_some()
}

impl Store {
    /// Returns the item on which the condition of a failed write was tested, if there is one. The write has
    /// to ask for it (`ALL_OLD`).
    ///
    /// # Errors
    /// If the write failed for another reason than its condition.
    pub(super) fn conflicting_item<E>(&self, error: &SdkError<E>) -> Result<Option<Item>>
    where
        E: ConditionalWriteError + std::error::Error + ProvideErrorMetadata + 'static,
    {
        match error.as_service_error().and_then(E::condition_failure) {
            Some(exception) => Ok(exception.item.clone()),
            None => Err(self.unavailable(error)),
        }
    }
}

/// Returns the condition that some attributes are still what they are in `item`, or absent; and the values of its
/// placeholders. An attribute has an alias for its name if that is a reserved word.
pub(super) fn unchanged(
    item: &Item,
    attributes: &[(&str, &str)],
) -> (String, Vec<(String, AttributeValue)>) {
    let (mut conditions, mut values) = (vec!["attribute_exists(PK)".to_owned()], Vec::new());
    for (name, alias) in attributes {
        match item.get(*name) {
            None => conditions.push(format!("attribute_not_exists({alias})")),
            Some(seen) => {
                conditions.push(format!("{alias} = :seen_{name}"));
                values.push((format!(":seen_{name}"), seen.clone()));
            }
        }
    }
    (conditions.join(" AND "), values)
}
