//! The table itself, for where no template makes it: the local stack and the tests.

use aws_sdk_dynamodb::{
    operation::create_table::CreateTableError,
    types::{
        AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType,
        Projection, ProjectionType, ScalarAttributeType,
    },
};

use super::{INVENTORY, Store, incomplete, unavailable};
use crate::error::Result;

/// What lists of devices and projects show; counters stay out of it, so that issuing a certificate
/// writes nothing to the index.
const LISTED: [&str; 7] =
    ["project_id", "name", "policy", "device_id", "label", "status", "token_id"];

impl Store {
    /// Creates the table unless it is there.
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
        match request.send().await {
            Ok(_) => Ok(()),
            Err(error) => match error.as_service_error() {
                Some(CreateTableError::ResourceInUseException(_)) => Ok(()),
                _ => Err(unavailable(&error)),
            },
        }
    }
}
