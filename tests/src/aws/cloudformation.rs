//! A resolver of CloudFormation's intrinsic functions, as far as tables, keys and policies use
//! them. It lets tests compare a deployment with the template itself. Anything that it does not
//! support is an error, never a guess.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use serde_json::{Map, Value};

/// A deployed template, in long form, with its parameters and physical ids.
#[derive(Debug)]
pub struct DeployedStack {
    /// The template.
    pub template: Value,
    /// The name of the stack.
    pub name: String,
    /// The account.
    pub account: String,
    /// The region.
    pub region: String,
    /// The given parameters.
    pub parameters: BTreeMap<String, String>,
    /// The physical id of each resource, by its logical id.
    pub physical_ids: BTreeMap<String, String>,
}

impl DeployedStack {
    /// Returns the logical ids of a type's resources that are deployed, in order.
    ///
    /// # Errors
    /// If a resource has a condition that is not supported.
    pub fn of_type(&self, kind: &str) -> anyhow::Result<Vec<&str>> {
        let mut ids = Vec::new();
        for (id, resource) in self.template["Resources"].as_object().into_iter().flatten() {
            if resource["Type"] == kind && self.has(resource)? {
                ids.push(id.as_str());
            }
        }
        Ok(ids)
    }

    /// Returns true if a resource has no condition, or its condition holds.
    ///
    /// # Errors
    /// If the condition is not supported.
    pub fn has(&self, resource: &Value) -> anyhow::Result<bool> {
        match resource["Condition"].as_str() {
            Some(condition) => self.holds(&self.template["Conditions"][condition]),
            None => Ok(true),
        }
    }

    /// Returns a resource's properties, resolved.
    ///
    /// # Errors
    /// If there is no such resource, or it uses something that is not supported.
    pub fn properties(&self, name: &str) -> anyhow::Result<Value> {
        let properties = self.template["Resources"][name].get("Properties");
        let resolved = self.resolve(properties.with_context(|| format!("no resource {name}"))?)?;
        resolved.with_context(|| format!("{name} has no properties"))
    }

    /// Resolves a part of the template; returns `None` for `AWS::NoValue`.
    pub(crate) fn resolve(&self, node: &Value) -> anyhow::Result<Option<Value>> {
        Ok(match node {
            Value::Array(elements) => {
                let resolved = elements.iter().filter_map(|it| self.resolve(it).transpose());
                Some(resolved.collect::<anyhow::Result<_>>()?)
            }
            Value::Object(map) => match function(map) {
                Some((name, argument)) => self.call(name, argument)?,
                None => {
                    let mut resolved = Map::new();
                    for (key, value) in map {
                        resolved.extend(self.resolve(value)?.map(|value| (key.clone(), value)));
                    }
                    Some(Value::Object(resolved))
                }
            },
            leaf => Some(leaf.clone()),
        })
    }

    fn call(&self, function: &str, argument: &Value) -> anyhow::Result<Option<Value>> {
        let text = |at: usize| argument[at].as_str().with_context(|| format!("{argument}"));
        match function {
            "Ref" if argument == "AWS::NoValue" => Ok(None),
            "Ref" => Ok(Some(self.reference(argument.as_str().context("a name")?)?.into())),
            "Fn::GetAtt" => Ok(Some(self.attribute(text(0)?, text(1)?)?.into())),
            "Fn::Sub" => Ok(Some(self.substitute(argument.as_str().context("a text")?)?.into())),
            "Fn::If" => {
                let condition = &self.template["Conditions"][text(0)?];
                self.resolve(&argument[if self.holds(condition)? { 1 } else { 2 }])
            }
            other => bail!("{other} is not supported"),
        }
    }

    fn holds(&self, condition: &Value) -> anyhow::Result<bool> {
        match condition.as_object().and_then(function) {
            Some(("Fn::Equals", sides)) => Ok(self.resolve(&sides[0])? == self.resolve(&sides[1])?),
            Some(("Fn::Not", negated)) => Ok(!self.holds(&negated[0])?),
            _ => bail!("the condition {condition} is not supported"),
        }
    }

    /// Returns the value of a parameter or pseudo parameter, or the physical id of a resource.
    ///
    /// # Errors
    /// If `name` is none of these.
    pub fn reference(&self, name: &str) -> anyhow::Result<String> {
        Ok(match name {
            "AWS::AccountId" => self.account.clone(),
            "AWS::Partition" => "aws".into(),
            "AWS::Region" => self.region.clone(),
            "AWS::StackName" => self.name.clone(),
            "AWS::URLSuffix" => "amazonaws.com".into(),
            _ => match (self.parameters.get(name), &self.template["Parameters"][name]["Default"]) {
                (Some(given), _) => given.clone(),
                (None, Value::String(default)) => default.clone(),
                (None, Value::Null) => self.physical_id(name)?.to_owned(),
                (None, default) => default.to_string(),
            },
        })
    }

    fn physical_id(&self, name: &str) -> anyhow::Result<&str> {
        self.physical_ids.get(name).map(String::as_str).with_context(|| format!("no {name}"))
    }

    fn attribute(&self, name: &str, attribute: &str) -> anyhow::Result<String> {
        let kind = self.template["Resources"][name]["Type"].as_str();
        match (kind, attribute) {
            (_, "Arn") => self.arn(name),
            // The stream's label is the time when it was enabled.
            (Some("AWS::DynamoDB::Table"), "StreamArn") => {
                Ok(format!("{}/stream/2027-01-15T08:00:00.000", self.arn(name)?))
            }
            _ => bail!("{name}.{attribute} is not supported"),
        }
    }

    /// Returns the ARN of a resource.
    ///
    /// # Errors
    /// If there is no such resource, or ARNs of its type are not supported.
    pub fn arn(&self, name: &str) -> anyhow::Result<String> {
        let (account, region, id) = (&self.account, &self.region, self.physical_id(name)?);
        Ok(match self.template["Resources"][name]["Type"].as_str() {
            Some("AWS::IAM::Role") => format!("arn:aws:iam::{account}:role/{id}"),
            Some("AWS::KMS::Key") => format!("arn:aws:kms:{region}:{account}:key/{id}"),
            Some("AWS::DynamoDB::Table") => {
                format!("arn:aws:dynamodb:{region}:{account}:table/{id}")
            }
            Some("AWS::S3::Bucket") => format!("arn:aws:s3:::{id}"),
            Some("AWS::Logs::LogGroup") => {
                format!("arn:aws:logs:{region}:{account}:log-group:{id}:*")
            }
            Some("AWS::Serverless::Function") => {
                format!("arn:aws:lambda:{region}:{account}:function:{id}")
            }
            kind => bail!("the ARN of {name}, {kind:?}, is not supported"),
        })
    }

    fn substitute(&self, text: &str) -> anyhow::Result<String> {
        let mut parts = text.split("${");
        let mut substituted = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (name, rest) = part.split_once('}').with_context(|| text.to_owned())?;
            substituted += &match name.split_once('.') {
                Some((resource, attribute)) => self.attribute(resource, attribute)?,
                None => self.reference(name)?,
            };
            substituted += rest;
        }
        Ok(substituted)
    }
}

/// Returns an intrinsic function: an object with one key, the function's name.
fn function(map: &Map<String, Value>) -> Option<(&str, &Value)> {
    let (name, argument) = map.iter().next()?;
    (map.len() == 1 && (name == "Ref" || name.starts_with("Fn::"))).then_some((name, argument))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn stack(principal: &str) -> DeployedStack {
        let template = json!({
            "Parameters": { "Principal": { "Default": "none" }, "Table": { "Default": "births" } },
            "Conditions": {
                "HasPrincipal": { "Fn::Not": [{ "Fn::Equals": [{ "Ref": "Principal" }, "none"] }] }
            },
            "Resources": {
                "Role": { "Type": "AWS::IAM::Role" },
                "Key": { "Type": "AWS::KMS::Key", "Properties": {
                    "Description": { "Fn::Sub": "alias/${Table}-${AWS::Region}" },
                    "Statement": [
                        { "Principal": { "Fn::GetAtt": ["Role", "Arn"] } },
                        { "Fn::If": [
                            "HasPrincipal",
                            { "Principal": { "Ref": "Principal" } },
                            { "Ref": "AWS::NoValue" },
                        ] },
                    ],
                } },
            },
        });
        DeployedStack {
            template,
            name: "stack".into(),
            account: "123456789012".into(),
            region: "eu-central-1".into(),
            parameters: BTreeMap::from([("Principal".into(), principal.into())]),
            physical_ids: BTreeMap::from([("Role".into(), "stack-Role-1".into())]),
        }
    }

    #[test]
    fn resolves_what_a_key_is_made_of() {
        let role = "arn:aws:iam::123456789012:role/stack-Role-1";
        let with = |statement| {
            json!({
                "Description": "alias/births-eu-central-1",
                "Statement": statement,
            })
        };
        let without = with(json!([{ "Principal": role }]));
        assert_eq!(stack("none").properties("Key").unwrap(), without);
        let with = with(json!([{ "Principal": role }, { "Principal": "someone" }]));
        assert_eq!(stack("someone").properties("Key").unwrap(), with);
    }
}
