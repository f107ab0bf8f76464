//! What a call to AWS needs permission for: the action, the resource and the condition keys that IAM
//! sees.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::proxy::Call;

/// One thing that a principal wants to do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Access {
    /// Such as `dynamodb:PutItem`.
    pub action: String,
    /// An ARN.
    pub resource: String,
    /// The condition keys that the request has, each with its values.
    pub context: BTreeMap<String, Vec<String>>,
}

/// Where the emulators' names of keys are those of the template.
pub type Keys = BTreeMap<String, String>;

impl Access {
    /// What a call to DynamoDB needs: one access, but for a transaction, which needs the rights of
    /// what is in it and none of its own.
    ///
    /// # Errors
    /// The call is of a kind that is not understood here.
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
            other => bail!("{other} is not understood here"),
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

    /// What a call to S3 needs: to learn that an object is not there, the right to list too.
    ///
    /// # Errors
    /// The call is of a kind that is not understood here.
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
            other => bail!("{other} is not understood here"),
        })
    }

    /// What a call to KMS needs.
    ///
    /// # Errors
    /// It names no key.
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

/// The condition begins with the one on the partition key.
fn query(request: &Value) -> anyhow::Result<Access> {
    let condition = request["KeyConditionExpression"].as_str().context("no key condition")?;
    let mut words = condition.split_whitespace();
    let (Some("PK" | "inventory" | "ca"), Some("="), Some(name)) =
        (words.next(), words.next(), words.next())
    else {
        bail!("the key condition {condition} is not understood here");
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
