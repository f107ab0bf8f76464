//! template.yaml as it is written, and as a stack deployed from it.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use serde_json::{Value as Json, json};
use yaml_serde::Value as Yaml;

use crate::aws::cloudformation::DeployedStack;

/// The properties that give resources their physical ids.
const NAMES: [(&str, &str); 3] = [
    ("AWS::DynamoDB::Table", "TableName"),
    ("AWS::Logs::LogGroup", "LogGroupName"),
    ("AWS::Serverless::Function", "FunctionName"),
];

/// Returns the project's template, deployed with these `parameters` and the other defaults. The
/// physical id of a resource without a name is its logical id.
///
/// # Errors
/// If the template is not valid.
pub fn ours(parameters: BTreeMap<String, String>) -> anyhow::Result<DeployedStack> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../template.yaml");
    deployed(&std::fs::read_to_string(file)?, parameters)
}

fn deployed(text: &str, parameters: BTreeMap<String, String>) -> anyhow::Result<DeployedStack> {
    let template = long_form(&yaml_serde::from_str(text)?)?;
    let resources = template["Resources"].as_object().context("no resources")?;
    let physical_ids = resources.keys().map(|id| (id.clone(), id.clone())).collect();
    let mut stack = DeployedStack {
        name: "birthcert".into(),
        account: "000000000000".into(),
        region: "us-east-1".into(),
        parameters,
        physical_ids,
        template,
    };
    let mut named = Vec::new();
    for (kind, property) in NAMES {
        for id in stack.of_type(kind)? {
            let name = &stack.template["Resources"][id]["Properties"][property];
            if let Some(Json::String(name)) = stack.resolve(name)? {
                named.push((id.to_owned(), name));
            }
        }
    }
    stack.physical_ids.extend(named);
    Ok(stack)
}

/// Converts YAML's short form of intrinsic functions, `!Sub text`, to JSON's long form.
fn long_form(node: &Yaml) -> anyhow::Result<Json> {
    Ok(match node {
        Yaml::Tagged(tagged) => {
            let tag = tagged.tag.to_string();
            let argument = long_form(&tagged.value)?;
            match (tag.trim_start_matches('!'), argument) {
                ("Ref", name) => json!({ "Ref": name }),
                ("Condition", name) => json!({ "Condition": name }),
                ("GetAtt", Json::String(path)) => {
                    let parts = path.split_once('.').context("!GetAtt without an attribute")?;
                    json!({ "Fn::GetAtt": [parts.0, parts.1] })
                }
                (name, argument) => json!({ format!("Fn::{name}"): argument }),
            }
        }
        Yaml::Sequence(items) => items.iter().map(long_form).collect::<anyhow::Result<_>>()?,
        Yaml::Mapping(entries) => {
            let entry = |(key, value): (&Yaml, &Yaml)| match key.as_str() {
                Some(key) => Ok((key.to_owned(), long_form(value)?)),
                None => bail!("a key that is not text: {key:?}"),
            };
            Json::Object(entries.iter().map(entry).collect::<anyhow::Result<_>>()?)
        }
        plain => serde_json::to_value(plain)?,
    })
}

#[cfg(test)]
mod tests {
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
        let resolved = |parameters| deployed(TEMPLATE, parameters).unwrap().properties("Other");
        let arn = "arn:aws:dynamodb:us-east-1:000000000000:table/fleet";
        let expected =
            json!({ "Arn": arn, "Index": format!("{arn}/index/fleet"), "List": ["last"] });
        assert_eq!(resolved(BTreeMap::new()).unwrap(), expected);
        let with_admin = resolved(BTreeMap::from([("Admin".into(), "boss".into())])).unwrap();
        assert_eq!(with_admin["List"], json!(["boss", "last"]));
    }

    #[test]
    fn what_is_not_understood_is_not_guessed() {
        for wrong in ["!Select [0, [a]]", "!GetAtt Table.Size", "!GetAtt Other.Arn", "!Ref Nobody"]
        {
            let template = TEMPLATE.replace("!GetAtt Table.Arn", wrong);
            let stack = deployed(&template, BTreeMap::new()).unwrap();
            assert!(stack.properties("Other").is_err(), "{wrong}");
        }
    }
}
