//! Changes to some attributes of an item, in one write.

use aws_sdk_dynamodb::{
    operation::update_item::builders::UpdateItemFluentBuilder, types::AttributeValue,
};

/// What becomes of an attribute.
#[derive(Clone, Debug, Default)]
pub enum Change<T> {
    /// It stays as it is.
    #[default]
    Keep,
    /// It is removed: there is no such limit any more.
    Remove,
    /// It becomes this.
    Set(T),
}

impl<T> Change<T> {
    /// What an operator says: what it becomes, if anything, or that it is removed.
    #[must_use]
    pub fn to(to: Option<T>, remove: bool) -> Self {
        match to {
            Some(to) => Self::Set(to),
            None if remove => Self::Remove,
            None => Self::Keep,
        }
    }

    /// The same for the attribute.
    pub(in crate::store) fn value(
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
    /// For what is always there, and never removed.
    fn from(to: Option<T>) -> Self {
        to.map_or(Self::Keep, Self::Set)
    }
}

/// Adds changes to an update: where an attribute is, a name for its value, and what becomes of it.
pub(in crate::store) fn apply<'a>(
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
