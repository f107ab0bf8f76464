//! Projects: a fleet, and the policy for its certificates.

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
        change::{self},
        client::Store,
        item::{item, key, number, record, string, strings},
        layout::{self, META},
        project::{changes::ProjectChanges, policy::Policy},
        write::is_condition_failure,
    },
};

/// A project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectRecord {
    /// Its id.
    pub project_id: ProjectId,
    /// For people.
    pub name: Label,
    /// For its devices' certificates.
    pub policy: Policy,
    /// When it was made.
    pub created_at: Timestamp,
}

#[derive(Serialize)]
struct Listed<'a> {
    #[serde(flatten)]
    record: &'a ProjectRecord,
    inventory: &'static str,
}

const INVENTORY_PARTITION: &str = "PROJECTS";

impl Store {
    /// The project `id`.
    ///
    /// # Errors
    /// When the store is away.
    pub async fn project(&self, id: ProjectId) -> Result<Option<ProjectRecord>> {
        self.get(layout::project(id), META.into()).await
    }

    /// Projects, oldest first; at most `limit` of them.
    ///
    /// # Errors
    /// When the store is away.
    pub async fn projects(&self, limit: Option<usize>) -> Result<Vec<ProjectRecord>> {
        self.inventory(INVENTORY_PARTITION.into(), limit).await
    }

    /// Adds a project.
    ///
    /// # Errors
    /// When it exists, or the store is away.
    pub async fn create_project(&self, record: &ProjectRecord) -> Result<()> {
        let listed = Listed { record, inventory: INVENTORY_PARTITION };
        let item = item(layout::project(record.project_id), META.into(), &listed)?;
        self.create(item, format!("project {}", record.project_id)).await
    }

    /// Changes a project and returns it as it is then. Nothing but what is given changes; each term is
    /// within its bounds by itself, so that two operators at once do each other no harm. Functions may
    /// hold to the old policy for a minute.
    ///
    /// # Errors
    /// When there is no such project, a term is out of bounds, or the store is away.
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
            // A word of DynamoDB's.
            Some(_) => update.expression_attribute_names("#name", "name"),
            None => update,
        };
        let name = [("#name".to_owned(), "name", name.into())];
        let update = change::apply(update, policy.into_iter().chain(name));
        match update.send().await {
            Ok(answer) => record(answer.attributes.unwrap_or_default()),
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
