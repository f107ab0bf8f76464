//! Conditions of single writes that did not hold.

use std::collections::HashMap;

use aws_sdk_dynamodb::{
    error::SdkError,
    operation::{
        delete_item::DeleteItemError, put_item::PutItemError, update_item::UpdateItemError,
    },
    types::error::ConditionalCheckFailedException,
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

/// The condition that some attributes of an item are still what they were.
pub(crate) struct Unchanged {
    pub(super) condition: String,
    /// The placeholders of the attributes' names, such as `#status`.
    pub(super) names: HashMap<String, String>,
    pub(super) values: Item,
}

/// Returns the condition that `attributes` are still what they are in `item`, or absent.
pub(super) fn unchanged(item: &Item, attributes: &[&str]) -> Unchanged {
    let (mut names, mut values) = (HashMap::new(), HashMap::new());
    let mut conditions = vec!["attribute_exists(PK)".to_owned()];
    for name in attributes {
        names.insert(format!("#{name}"), (*name).to_owned());
        match item.get(*name) {
            None => conditions.push(format!("attribute_not_exists(#{name})")),
            Some(seen) => {
                conditions.push(format!("#{name} = :seen_{name}"));
                values.insert(format!(":seen_{name}"), seen.clone());
            }
        }
    }
    Unchanged { condition: conditions.join(" AND "), names, values }
}
