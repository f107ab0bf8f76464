//! Changes to several attributes of an item in one write.

use aws_sdk_dynamodb::{
    operation::update_item::builders::UpdateItemFluentBuilder, types::AttributeValue,
};

/// A change to one attribute.
#[derive(Clone, Debug, Default)]
pub enum Change<T> {
    /// Leave the attribute unchanged.
    #[default]
    Keep,
    /// Remove the attribute.
    Remove,
    /// Set the attribute to this value.
    Set(T),
}

impl<T> Change<T> {
    /// Returns the change for a new value, if there is one, else for the flag `remove`.
    #[must_use]
    pub fn to(value: Option<T>, remove: bool) -> Self {
        match value {
            Some(value) => Self::Set(value),
            None if remove => Self::Remove,
            None => Self::Keep,
        }
    }

    /// Converts the new value to an attribute value.
    pub(super) fn value(
        &self,
        attribute: impl FnOnce(&T) -> AttributeValue,
    ) -> Change<AttributeValue> {
        match self {
            Self::Keep => Change::Keep,
            Self::Remove => Change::Remove,
            Self::Set(value) => Change::Set(attribute(value)),
        }
    }
}

impl<T> From<Option<T>> for Change<T> {
    /// Returns the change for an attribute that cannot be removed.
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Keep, Self::Set)
    }
}

/// Adds changes to an update. Each is an attribute's path, a name for its value, and the change.
pub(super) fn apply<'a>(
    mut update: UpdateItemFluentBuilder,
    changes: impl IntoIterator<Item = (String, &'a str, Change<AttributeValue>)>,
) -> UpdateItemFluentBuilder {
    let (mut set, mut remove) = (Vec::new(), Vec::new());
    for (path, name, change) in changes {
        match change {
            Change::Keep => {}
            Change::Remove => remove.push(path),
            Change::Set(value) => {
                set.push(format!("{path} = :{name}"));
                update = update.expression_attribute_values(format!(":{name}"), value);
            }
        }
    }
    let clauses = [("SET", set), ("REMOVE", remove)].into_iter();
    let clauses = clauses.filter(|(_, parts)| !parts.is_empty());
    let clauses = clauses.map(|(word, parts)| format!("{word} {}", parts.join(", ")));
    let expression = clauses.collect::<Vec<_>>().join(" ");
    update.set_update_expression((!expression.is_empty()).then_some(expression))
}
