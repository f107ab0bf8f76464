//! The table itself, for where no template makes it: the local stack and the tests.

use std::time::Duration;

use aws_sdk_dynamodb::{
    client::Waiters,
    operation::create_table::CreateTableError,
    types::{
        AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType,
        Projection, ProjectionType, ScalarAttributeType,
    },
};

use super::{INVENTORY, Store, incomplete, unavailable};
use crate::error::{Error, Result, Service};

/// On AWS a table is there within some ten seconds.
const CREATION: Duration = Duration::from_secs(120);

/// What lists of devices and projects show; counters stay out of it, so that issuing a certificate
/// writes nothing to the index.
const LISTED: [&str; 7] =
    ["project_id", "name", "policy", "device_id", "label", "status", "token_id"];

impl Store {
    /// Creates the table unless it is there, and waits until it can be used.
    ///
    /// # Errors
    /// When DynamoDB refuses or is away.
    pub async fn create_table(&self) -> Result<()> {
        let definition = |name: &str, kind| {
            AttributeDefinition::builder().attribute_name(name).attribute_type(kind).build()
        };
        let schema = |name: &str, kind| {
            KeySchemaElement::builder().attribute_name(name).key_type(kind).build()
        };
        let build = || {
            let projection = Projection::builder()
                .projection_type(ProjectionType::Include)
                .set_non_key_attributes(Some(LISTED.map(String::from).to_vec()))
                .build();
            let index = GlobalSecondaryIndex::builder()
                .index_name(INVENTORY)
                .key_schema(schema("inventory", KeyType::Hash)?)
                .key_schema(schema("created_at", KeyType::Range)?)
                .projection(projection)
                .build()?;
            Ok(self
                .client
                .create_table()
                .table_name(&self.table)
                .billing_mode(BillingMode::PayPerRequest)
                .attribute_definitions(definition("PK", ScalarAttributeType::S)?)
                .attribute_definitions(definition("SK", ScalarAttributeType::S)?)
                .attribute_definitions(definition("inventory", ScalarAttributeType::S)?)
                .attribute_definitions(definition("created_at", ScalarAttributeType::N)?)
                .key_schema(schema("PK", KeyType::Hash)?)
                .key_schema(schema("SK", KeyType::Range)?)
                .global_secondary_indexes(index))
        };
        let request = build().map_err(incomplete)?;
        if let Err(error) = request.send().await {
            match error.as_service_error() {
                Some(CreateTableError::ResourceInUseException(_)) => {}
                _ => return Err(unavailable(&error)),
            }
        }
        // A table that is being created takes no items yet.
        let active = self.client.wait_until_table_exists().table_name(&self.table);
        active.wait(CREATION).await.map(drop).map_err(|error| Error::Unavailable {
            service: Service::DynamoDb,
            cause: error.to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::LISTED;

    /// Two descriptions of one table: this file's for the local stack, the template's for AWS.
    #[test]
    fn the_template_makes_the_same_table() {
        let template = include_str!("../../../template.yaml");
        let start = template.find("    Type: AWS::DynamoDB::Table").unwrap();
        let table = template[start..].split("\n  # ---").next().unwrap();
        let lines: Vec<&str> = table.lines().map(str::trim).collect();
        let attribute =
            |name, kind| format!("- {{ AttributeName: {name}, AttributeType: {kind} }}");
        let key = |name, kind| format!("- {{ AttributeName: {name}, KeyType: {kind} }}");
        let expected = [
            "BillingMode: PAY_PER_REQUEST",
            "AttributeDefinitions:",
            &attribute("PK", "S"),
            &attribute("SK", "S"),
            &attribute("inventory", "S"),
            &attribute("created_at", "N"),
            "KeySchema:",
            &key("PK", "HASH"),
            &key("SK", "RANGE"),
            "GlobalSecondaryIndexes:",
            &format!("- IndexName: {}", super::INVENTORY),
            "KeySchema:",
            &key("inventory", "HASH"),
            &key("created_at", "RANGE"),
            "Projection:",
            "ProjectionType: INCLUDE",
            &format!("NonKeyAttributes: [{}]", LISTED.join(", ")),
        ];
        let begin = lines.iter().position(|line| *line == expected[0]).unwrap();
        assert_eq!(lines[begin..begin + expected.len()], expected);
    }
}
