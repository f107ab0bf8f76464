//! Permissions that a call to AWS needs: the action, the resource and the condition keys that IAM
//! sees.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::aws::proxy::Call;

/// A permission that a principal needs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Access {
    /// The action, such as `dynamodb:PutItem`.
    pub action: String,
    /// The ARN of the resource.
    pub resource: String,
    /// The condition keys of the request, with their values.
    pub context: BTreeMap<String, Vec<String>>,
}

/// Names of keys in the template, by the emulator's ARN.
pub type Keys = BTreeMap<String, String>;

impl Access {
    /// Returns the permissions for a call to DynamoDB. A transaction needs those of the operations
    /// in it, and none of its own.
    ///
    /// # Errors
    /// If the operation is not supported.
    pub fn of_dynamodb(call: &Call) -> anyhow::Result<Vec<Self>> {
        let request = call.request();
        let operation = call.operation.as_str();
        let inner = match operation {
            "GetItem" | "DeleteItem" | "UpdateItem" => vec![(operation, request, "Key")],
            "PutItem" => vec![(operation, request, "Item")],
            "Query" => return Ok(vec![query(request)?]),
            "TransactWriteItems" => {
                let items = request["TransactItems"].as_array().context("no items")?;
                let items = items.iter().map(|item| match item.as_object() {
                    Some(object) if object.len() == 1 => match object.iter().next() {
                        Some((name, it)) if name == "Put" => Ok(("PutItem", it, "Item")),
                        Some((name, it)) if name == "Update" => Ok(("UpdateItem", it, "Key")),
                        Some((name, it)) if name == "Delete" => Ok(("DeleteItem", it, "Key")),
                        Some((name, it)) if name == "ConditionCheck" => {
                            Ok(("ConditionCheckItem", it, "Key"))
                        }
                        _ => bail!("in a transaction: {item}"),
                    },
                    _ => bail!("in a transaction: {item}"),
                });
                items.collect::<anyhow::Result<_>>()?
            }
            other => bail!("{other} is not supported"),
        };
        let of = |(operation, request, key): (&str, &Value, &str)| {
            let partition = request[key]["PK"]["S"].as_str().context("no partition key")?;
            Ok(Self {
                action: format!("dynamodb:{operation}"),
                resource: table(request)?,
                context: leading_key(partition),
            })
        };
        inner.into_iter().map(of).collect()
    }

    /// Returns the permissions for a call to S3. To learn that an object is missing takes the right
    /// to list, too.
    ///
    /// # Errors
    /// If the operation is not supported.
    pub fn of_s3(call: &Call) -> anyhow::Result<Vec<Self>> {
        let request = call.request();
        let bucket = request["Bucket"].as_str().context("no bucket")?;
        let bucket = format!("arn:aws:s3:::{bucket}");
        let object = format!("{bucket}/{}", request["Key"].as_str().context("no key")?);
        let access = |action: &str, resource: &str| Self {
            action: format!("s3:{action}"),
            resource: resource.to_owned(),
            context: BTreeMap::new(),
        };
        Ok(match call.operation.as_str() {
            "HeadObject" | "GetObject" if call.is_missing() => {
                vec![access("GetObject", &object), access("ListBucket", &bucket)]
            }
            "HeadObject" | "GetObject" => vec![access("GetObject", &object)],
            "PutObject" => vec![access("PutObject", &object)],
            other => bail!("{other} is not supported"),
        })
    }

    /// Returns the permission for a call to KMS.
    ///
    /// # Errors
    /// If the call names no key.
    pub fn of_kms(call: &Call, keys: &Keys) -> anyhow::Result<Self> {
        let request = call.request();
        let key = request["KeyId"].as_str().context("no key")?;
        let conditions = ["MessageType", "SigningAlgorithm"];
        let conditions = conditions.iter().filter_map(|name| {
            let value = request[name].as_str()?;
            Some((format!("kms:{name}"), vec![value.to_owned()]))
        });
        Ok(Self {
            action: format!("kms:{}", call.operation),
            resource: keys.get(key).map_or(key, String::as_str).to_owned(),
            context: conditions.collect(),
        })
    }
}

fn table(request: &Value) -> anyhow::Result<String> {
    let name = request["TableName"].as_str().context("no table")?;
    Ok(format!("arn:aws:dynamodb:us-east-1:000000000000:table/{name}"))
}

fn leading_key(partition: &str) -> BTreeMap<String, Vec<String>> {
    BTreeMap::from([("dynamodb:LeadingKeys".into(), vec![partition.to_owned()])])
}

/// Parses a query, whose key condition begins with the partition key.
fn query(request: &Value) -> anyhow::Result<Access> {
    let condition = request["KeyConditionExpression"].as_str().context("no key condition")?;
    let mut words = condition.split_whitespace();
    let (Some("PK" | "inventory" | "ca" | "serial_number"), Some("="), Some(name)) =
        (words.next(), words.next(), words.next())
    else {
        bail!("the key condition {condition} is not supported");
    };
    let partition = request["ExpressionAttributeValues"][name]["S"].as_str();
    let table = table(request)?;
    Ok(Access {
        action: "dynamodb:Query".into(),
        resource: match request["IndexName"].as_str() {
            Some(index) => format!("{table}/index/{index}"),
            None => table,
        },
        context: leading_key(partition.context("no value of the partition key")?),
    })
}
