//! Creation of the table, for the local stack and the tests. On AWS, `template.yaml` creates it.

use std::time::Duration;

use aws_sdk_dynamodb::{
    client::Waiters,
    error::BuildError,
    operation::create_table::{CreateTableError, builders::CreateTableFluentBuilder},
    types::{
        AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType,
        Projection, ProjectionType, ScalarAttributeType,
    },
};

use crate::{
    aws::AwsService,
    error::{Error, Result},
    store::{client::Store, write::incomplete},
};

/// Index of projects, devices and services by age.
pub(super) const INVENTORY: &str = "inventory";
/// Index of certificates by serial number.
pub(super) const SERIALS: &str = "serials";
/// Index of revoked certificates and denied devices, by CA and time.
pub(super) const REVOCATIONS: &str = "revocations";

/// Time limit for the creation, which takes about ten seconds on AWS.
const CREATION: Duration = Duration::from_secs(120);

/// Attributes projected into `inventory`: those that lists of devices and projects show. Counters are not
/// among them, so that issuance does not write to the index.
const INVENTORY_ATTRIBUTES: [&str; 7] =
    ["project_id", "name", "policy", "device_id", "label", "status", "token_id"];

/// Attributes projected into `revocations`: those of a CRL entry, and the expiry after which it is dropped.
const REVOCATIONS_ATTRIBUTES: [&str; 3] = ["serial_number", "revocation_reason", "not_after"];

impl Store {
    /// Creates the table unless it exists, and waits until it can be used.
    ///
    /// # Errors
    /// If DynamoDB refuses or is unavailable.
    pub async fn create_table(&self) -> Result<()> {
        let request = self.table_request().map_err(incomplete)?;
        if let Err(error) = request.send().await {
            match error.as_service_error() {
                Some(CreateTableError::ResourceInUseException(_)) => {}
                _ => return Err(self.unavailable(&error)),
            }
        }
        // A table accepts no items while it is being created.
        let active = self.client.wait_until_table_exists().table_name(&self.table);
        active.wait(CREATION).await.map(drop).map_err(|error| Error::Unavailable {
            service: AwsService::DynamoDb,
            cause: error.to_string(),
        })
    }

    fn table_request(&self) -> Result<CreateTableFluentBuilder, BuildError> {
        let definition = |name: &str, kind| {
            AttributeDefinition::builder().attribute_name(name).attribute_type(kind).build()
        };
        let schema = |name: &str, kind| {
            KeySchemaElement::builder().attribute_name(name).key_type(kind).build()
        };
        let projection = |attributes: &[&str]| {
            let kind = match attributes {
                [] => ProjectionType::KeysOnly,
                _ => ProjectionType::Include,
            };
            let names: Vec<String> = attributes.iter().copied().map(String::from).collect();
            let names = (!names.is_empty()).then_some(names);
            Projection::builder().projection_type(kind).set_non_key_attributes(names).build()
        };
        let inventory = GlobalSecondaryIndex::builder()
            .index_name(INVENTORY)
            .key_schema(schema("inventory", KeyType::Hash)?)
            .key_schema(schema("created_at", KeyType::Range)?)
            .projection(projection(&INVENTORY_ATTRIBUTES))
            .build()?;
        let serials = GlobalSecondaryIndex::builder()
            .index_name(SERIALS)
            .key_schema(schema("serial_number", KeyType::Hash)?)
            .projection(projection(&[]))
            .build()?;
        let revocations = GlobalSecondaryIndex::builder()
            .index_name(REVOCATIONS)
            .key_schema(schema("ca", KeyType::Hash)?)
            .key_schema(schema("revoked_at", KeyType::Range)?)
            .projection(projection(&REVOCATIONS_ATTRIBUTES))
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
            .attribute_definitions(definition("serial_number", ScalarAttributeType::S)?)
            .attribute_definitions(definition("ca", ScalarAttributeType::S)?)
            .attribute_definitions(definition("revoked_at", ScalarAttributeType::N)?)
            .key_schema(schema("PK", KeyType::Hash)?)
            .key_schema(schema("SK", KeyType::Range)?)
            .global_secondary_indexes(inventory)
            .global_secondary_indexes(serials)
            .global_secondary_indexes(revocations))
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::{Client, Config, config::BehaviorVersion};

    use super::*;

    /// Renders the request of `create_table` in the syntax of template.yaml.
    fn as_in_the_template(request: &CreateTableFluentBuilder) -> String {
        let request = request.as_input();
        let keys = |keys: &[KeySchemaElement], indent: &str| -> String {
            let line = |key: &KeySchemaElement| {
                let (name, kind) = (key.attribute_name(), key.key_type());
                format!("{indent}- {{ AttributeName: {name}, KeyType: {kind} }}\n")
            };
            keys.iter().map(line).collect()
        };
        let mut text =
            format!("      BillingMode: {}\n", request.get_billing_mode().as_ref().unwrap());
        text += "      AttributeDefinitions:\n";
        for it in request.get_attribute_definitions().as_ref().unwrap() {
            let (name, kind) = (it.attribute_name(), it.attribute_type());
            text += &format!("        - {{ AttributeName: {name}, AttributeType: {kind} }}\n");
        }
        text += "      KeySchema:\n";
        text += &keys(request.get_key_schema().as_ref().unwrap(), "        ");
        text += "      GlobalSecondaryIndexes:\n";
        for index in request.get_global_secondary_indexes().as_ref().unwrap() {
            let projection = index.projection().unwrap();
            text += &format!("        - IndexName: {}\n", index.index_name());
            text += "          KeySchema:\n";
            text += &keys(index.key_schema(), "            ");
            text += "          Projection:\n";
            let kind = projection.projection_type().unwrap();
            text += &format!("            ProjectionType: {kind}\n");
            if !projection.non_key_attributes().is_empty() {
                let names = projection.non_key_attributes().join(", ");
                text += &format!("            NonKeyAttributes: [{names}]\n");
            }
        }
        text
    }

    #[test]
    fn the_template_makes_the_same_table() {
        let template = concat!(env!("CARGO_MANIFEST_DIR"), "/../../template.yaml");
        let template = std::fs::read_to_string(template).unwrap();
        let config = Config::builder().behavior_version(BehaviorVersion::latest()).build();
        let store = Store::new(Client::from_conf(config), "birthcert");
        let table = as_in_the_template(&store.table_request().unwrap());
        let after = template.split_once(&table).map(|(_, after)| after);
        // Another property of the table follows, not another index or attribute.
        let is_property =
            |after: &str| after.starts_with("      ") && !after.starts_with("       ");
        assert!(after.is_some_and(is_property), "template.yaml does not make this table:\n{table}");
    }
}
