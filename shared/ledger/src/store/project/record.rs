//! Projects, as operators create and change them.

use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use pki::{
    clock::Timestamp,
    key::{KeyKind, KeyKinds},
    names::{Label, ProjectId},
};
use serde::{Deserialize, Serialize};

use crate::{
    error::{OperatorError, Result},
    store::{
        change,
        client::Store,
        condition::is_condition_failure,
        item::{from_item, key, number, string, strings, to_item},
        layout::{self, META},
        project::{changes::ProjectChanges, policy::Policy},
    },
};

/// A project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectRecord {
    /// The id of the project.
    pub project_id: ProjectId,
    /// The name, for people.
    pub name: Label,
    /// The policy for the certificates of its devices.
    pub policy: Policy,
    /// Time of creation.
    pub created_at: Timestamp,
}

/// A project with its partition in the index `inventory`.
#[derive(Serialize)]
struct IndexedProject<'a> {
    #[serde(flatten)]
    record: &'a ProjectRecord,
    inventory: &'static str,
}

const INVENTORY_PARTITION: &str = "PROJECTS";

impl Store {
    /// Returns the project `id`.
    ///
    /// # Errors
    /// If DynamoDB is unavailable.
    pub async fn project(&self, id: ProjectId) -> Result<Option<ProjectRecord>> {
        self.get(layout::project(id), META.into()).await
    }

    /// Returns the projects, oldest first; at most `limit` of them.
    ///
    /// # Errors
    /// If DynamoDB is unavailable.
    pub async fn projects(&self, limit: Option<usize>) -> Result<Vec<ProjectRecord>> {
        self.inventory(INVENTORY_PARTITION.into(), layout::PROJECT, limit).await
    }

    /// Adds a project.
    ///
    /// # Errors
    /// If the project exists already, or DynamoDB is unavailable.
    pub async fn create_project(&self, record: &ProjectRecord) -> Result<()> {
        let indexed = IndexedProject { record, inventory: INVENTORY_PARTITION };
        let item = to_item(layout::project(record.project_id), META.into(), &indexed)?;
        self.create(item, format!("project {}", record.project_id)).await
    }

    /// Changes a project, and returns its new state. Functions may apply the old policy for another minute.
    ///
    /// Concurrent changes by two operators cannot make the policy invalid, because no term's bounds depend on
    /// another term.
    ///
    /// # Errors
    /// If the project does not exist, or DynamoDB is unavailable.
    pub async fn change_project(
        &self,
        id: ProjectId,
        changes: &ProjectChanges,
    ) -> Result<ProjectRecord> {
        let ProjectChanges(terms) = changes;
        let update = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key(layout::project(id), META.into())))
            .condition_expression("attribute_exists(PK)")
            .return_values(ReturnValue::AllNew);
        let policy = [
            ("validity_days", terms.validity_days.map(number).into()),
            ("grace_hours", terms.grace_hours.map(number).into()),
            ("issuance_limit", terms.issuance_limit.map(number).into()),
            ("not_after_cap", terms.not_after_cap.value(|cap| number(cap.unix()))),
            ("key_kinds", terms.key_kinds.as_ref().map(kinds).into()),
            ("server_generated_keys", terms.server_generated_keys.map(AttributeValue::Bool).into()),
            ("organization", terms.organization.value(|it| string(it.as_str()))),
        ];
        let policy = policy.map(|(name, change)| (format!("policy.{name}"), name, change));
        let name = terms.name.as_ref().map(|name| string(name.as_str()));
        let update = match terms.name {
            // A reserved word of DynamoDB.
            Some(_) => update.expression_attribute_names("#name", "name"),
            None => update,
        };
        let name = [("#name".to_owned(), "name", name.into())];
        let update = change::apply(update, policy.into_iter().chain(name));
        match update.send().await {
            Ok(answer) => from_item(answer.attributes.unwrap_or_default()),
            Err(error) if is_condition_failure(&error) => {
                Err(OperatorError::Missing(format!("project {id}")).into())
            }
            Err(error) => Err(self.unavailable(&error)),
        }
    }
}

fn kinds(kinds: &KeyKinds) -> AttributeValue {
    strings(kinds.iter().map(KeyKind::as_str))
}
