//! template.yaml as CloudFormation reads it: parameters and conditions decided, references resolved.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail, ensure};
use serde_json::{Map, Value as Json};
use yaml_serde::Value as Yaml;
use yaml_serde::value::TaggedValue;

/// Where the stack is deployed, as far as a policy can tell.
const PSEUDO: [(&str, &str); 5] = [
    ("AWS::AccountId", "000000000000"),
    ("AWS::Partition", "aws"),
    ("AWS::Region", "us-east-1"),
    ("AWS::StackName", "birthcert"),
    ("AWS::URLSuffix", "amazonaws.com"),
];

/// A template.
pub struct Template {
    document: Yaml,
    parameters: BTreeMap<&'static str, String>,
}

impl Template {
    /// The project's own, deployed with these `parameters` and the defaults of all others.
    ///
    /// # Errors
    /// It is no YAML.
    pub fn ours(parameters: BTreeMap<&'static str, String>) -> anyhow::Result<Self> {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../template.yaml");
        Self::parse(&std::fs::read_to_string(file)?, parameters)
    }

    /// A template from its text.
    ///
    /// # Errors
    /// It is no YAML.
    pub fn parse(text: &str, parameters: BTreeMap<&'static str, String>) -> anyhow::Result<Self> {
        Ok(Self { document: yaml_serde::from_str(text)?, parameters })
    }

    /// The logical ids of the resources of a type, such as `AWS::IAM::Role`.
    ///
    /// # Errors
    /// The template has no resources.
    pub fn of_type(&self, kind: &str) -> anyhow::Result<Vec<&str>> {
        let resources = self.document["Resources"].as_mapping().context("no resources")?;
        let of_type = resources.iter().filter(|(_, it)| it["Type"].as_str() == Some(kind));
        of_type.map(|(id, _)| id.as_str().context("an id that is no text")).collect()
    }

    /// The properties of a resource, resolved.
    ///
    /// # Errors
    /// There is no such resource, or something in it is not understood here.
    pub fn properties(&self, id: &str) -> anyhow::Result<Json> {
        let properties = &self.resource(id)?["Properties"];
        self.resolve(properties).with_context(|| id.to_owned())?.context("no properties")
    }

    /// The physical id of a resource, or the value of a parameter.
    ///
    /// # Errors
    /// It is neither.
    pub fn reference(&self, name: &str) -> anyhow::Result<String> {
        if let Some((_, value)) = PSEUDO.iter().find(|(pseudo, _)| *pseudo == name) {
            return Ok((*value).to_owned());
        }
        if let Some(value) = self.parameters.get(name) {
            return Ok(value.clone());
        }
        let default = &self.document["Parameters"][name]["Default"];
        if let Some(value) = self.resolve(default)?.filter(|value| !value.is_null()) {
            return text(&value);
        }
        let resource = self.resource(name)?;
        let named = match resource["Type"].as_str() {
            Some("AWS::DynamoDB::Table") => &resource["Properties"]["TableName"],
            Some("AWS::Logs::LogGroup") => &resource["Properties"]["LogGroupName"],
            _ => return Ok(name.to_owned()),
        };
        text(&self.resolve(named)?.with_context(|| format!("{name} has no name"))?)
    }

    /// The ARN of a resource.
    ///
    /// # Errors
    /// There is no such resource.
    pub fn arn(&self, id: &str) -> anyhow::Result<String> {
        let name = self.reference(id)?;
        let arn =
            |service: &str, rest: &str| format!("arn:aws:{service}:us-east-1:000000000000:{rest}");
        Ok(match self.resource(id)?["Type"].as_str() {
            Some("AWS::DynamoDB::Table") => arn("dynamodb", &format!("table/{name}")),
            Some("AWS::KMS::Key") => arn("kms", &format!("key/{name}")),
            Some("AWS::Logs::LogGroup") => arn("logs", &format!("log-group:{name}:*")),
            Some("AWS::IAM::Role") => format!("arn:aws:iam::000000000000:role/{name}"),
            kind => arn("resource", &format!("{}/{name}", kind.unwrap_or_default())),
        })
    }

    fn resource(&self, id: &str) -> anyhow::Result<&Yaml> {
        let resource = &self.document["Resources"][id];
        ensure!(resource.is_mapping(), "there is no resource {id}");
        Ok(resource)
    }

    /// Nothing is what `AWS::NoValue` leaves.
    fn resolve(&self, value: &Yaml) -> anyhow::Result<Option<Json>> {
        Ok(Some(match value {
            Yaml::Tagged(tagged) => return self.intrinsic(tagged),
            Yaml::Sequence(items) => {
                let items = items.iter().filter_map(|item| self.resolve(item).transpose());
                Json::Array(items.collect::<anyhow::Result<_>>()?)
            }
            Yaml::Mapping(entries) => {
                let mut object = Map::new();
                for (key, value) in entries {
                    let key = key.as_str().context("a key that is no text")?;
                    ensure!(key != "Ref" && !key.starts_with("Fn::"), "{key} in its long form");
                    if let Some(value) = self.resolve(value)? {
                        object.insert(key.to_owned(), value);
                    }
                }
                Json::Object(object)
            }
            plain => serde_json::to_value(plain)?,
        }))
    }

    fn intrinsic(&self, tagged: &TaggedValue) -> anyhow::Result<Option<Json>> {
        let tag = tagged.tag.to_string();
        let argument = &tagged.value;
        let of = |place: usize| argument.get(place).with_context(|| format!("{tag} lacks a part"));
        let name = || argument.as_str().with_context(|| format!("{tag} of no text"));
        Ok(Some(match tag.trim_start_matches('!') {
            "Ref" if name()? == "AWS::NoValue" => return Ok(None),
            "Ref" => self.reference(name()?)?.into(),
            "GetAtt" => self.attribute(name()?)?.into(),
            "Sub" => self.substitute(name()?)?.into(),
            "If" => {
                let condition = of(0)?.as_str().context("the name of a condition")?;
                let condition = self.resolve(&self.document["Conditions"][condition])?;
                let holds = condition.and_then(|it| it.as_bool()).context("no such condition")?;
                return self.resolve(of(if holds { 1 } else { 2 })?);
            }
            "Equals" => Json::Bool(self.resolve(of(0)?)? == self.resolve(of(1)?)?),
            "Not" => {
                let inner = self.resolve(of(0)?)?.and_then(|it| it.as_bool());
                Json::Bool(!inner.context("!Not of no condition")?)
            }
            other => bail!("!{other} is not understood here"),
        }))
    }

    fn attribute(&self, path: &str) -> anyhow::Result<String> {
        match path.split_once('.') {
            Some((id, "Arn")) => self.arn(id),
            _ => bail!("!GetAtt {path} is not understood here"),
        }
    }

    fn substitute(&self, text: &str) -> anyhow::Result<String> {
        let mut parts = text.split("${");
        let mut result = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (name, rest) = part.split_once('}').context("!Sub without a }")?;
            let value =
                if name.contains('.') { self.attribute(name) } else { self.reference(name) };
            result += &value?;
            result += rest;
        }
        Ok(result)
    }
}

fn text(value: &Json) -> anyhow::Result<String> {
    match value {
        Json::String(text) => Ok(text.clone()),
        Json::Number(number) => Ok(number.to_string()),
        Json::Bool(value) => Ok(value.to_string()),
        other => bail!("{other} is no text"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TEMPLATE: &str = "
Parameters:
  Name: { Type: String, Default: fleet }
  Admin: { Type: String, Default: none }
Conditions:
  HasAdmin: !Not [!Equals [!Ref Admin, none]]
Resources:
  Table:
    Type: AWS::DynamoDB::Table
    Properties: { TableName: !Ref Name }
  Other:
    Type: Other
    Properties:
      Arn: !GetAtt Table.Arn
      Index: !Sub ${Table.Arn}/index/${Name}
      List: [!If [HasAdmin, !Ref Admin, !Ref AWS::NoValue], last]
";

    #[test]
    fn references_are_resolved() {
        let resolved = |parameters| {
            Template::parse(TEMPLATE, parameters).unwrap().properties("Other").unwrap()
        };
        let arn = "arn:aws:dynamodb:us-east-1:000000000000:table/fleet";
        let expected =
            json!({ "Arn": arn, "Index": format!("{arn}/index/fleet"), "List": ["last"] });
        assert_eq!(resolved(BTreeMap::new()), expected);
        let with_admin = resolved(BTreeMap::from([("Admin", "boss".into())]));
        assert_eq!(with_admin["List"], json!(["boss", "last"]));
    }

    #[test]
    fn what_is_not_understood_is_not_guessed() {
        for wrong in
            ["!Select [0, [a]]", "!GetAtt Table.StreamArn", "!Ref Nobody", "{ Ref: Table }"]
        {
            let template = TEMPLATE.replace("!GetAtt Table.Arn", wrong);
            let template = Template::parse(&template, BTreeMap::new()).unwrap();
            assert!(template.properties("Other").is_err(), "{wrong}");
        }
    }
}
