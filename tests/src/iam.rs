//! IAM's decisions, for the policies that template.yaml has, and what is wrong with those policies
//! when they are held against what was really asked. What is not understood here is an error.
//!
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html>

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use crate::access::Access;

/// What may be granted without having been seen: Lambda itself uses these, with the function's role,
/// and nothing in the code calls them. X-Ray knows no resources, nor does ListStreams.
const LAMBDAS_OWN: [(&str, bool); 8] = [
    ("dynamodb:DescribeStream", false),
    ("dynamodb:GetRecords", false),
    ("dynamodb:GetShardIterator", false),
    ("dynamodb:ListStreams", true),
    ("logs:CreateLogStream", false),
    ("logs:PutLogEvents", false),
    ("xray:PutTelemetryRecords", true),
    ("xray:PutTraceSegments", true),
];

/// The condition keys without which an action is granted too widely.
const NECESSARY: [(&str, &[&str]); 2] = [
    ("dynamodb:", &["dynamodb:LeadingKeys"]),
    ("kms:Sign", &["kms:MessageType", "kms:SigningAlgorithm"]),
];

/// What a statement does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It grants.
    Allow,
    /// It takes away, whatever others grant.
    Deny,
}

/// A statement of a policy.
#[derive(Clone, Debug)]
pub struct Statement {
    /// What it does.
    pub effect: Effect,
    /// Patterns of actions.
    pub actions: Vec<String>,
    /// Patterns of resources.
    pub resources: Vec<String>,
    sid: String,
    conditions: Vec<Condition>,
}

#[derive(Clone, Debug)]
struct Condition {
    for_all_values: bool,
    operator: Operator,
    key: String,
    values: Vec<String>,
}

#[derive(Clone, Copy, Debug)]
enum Operator {
    StringEquals,
    StringLike,
    ArnNotLike,
}

impl Statement {
    /// The statements of a policy document; with those of a resource's policy only if they admit
    /// `principal`.
    ///
    /// # Errors
    /// Something in it is not understood here.
    pub fn all(document: &Value, principal: Option<&str>) -> anyhow::Result<Vec<Self>> {
        ensure!(document["Version"] == "2012-10-17", "another version of the policy language");
        let mut statements = Vec::new();
        for statement in document["Statement"].as_array().context("no statements")? {
            let who = &statement["Principal"];
            let is_ours = match principal {
                Some(_) if who == "*" => true,
                Some(arn) => strings(&who["AWS"])?.iter().any(|it| it == arn || it == "*"),
                None => {
                    ensure!(who.is_null(), "a principal in a role's own policy");
                    true
                }
            };
            if is_ours {
                let sid = statement["Sid"].as_str().unwrap_or_default();
                statements.push(Self::parse(statement).with_context(|| sid.to_owned())?);
            }
        }
        Ok(statements)
    }

    fn parse(statement: &Value) -> anyhow::Result<Self> {
        for element in statement.as_object().context("no object")?.keys() {
            let known = ["Sid", "Effect", "Principal", "Action", "Resource", "Condition"];
            ensure!(known.contains(&element.as_str()), "{element} is not understood here");
        }
        let mut conditions = Vec::new();
        for (operator, keys) in statement["Condition"].as_object().into_iter().flatten() {
            let plain = operator.strip_prefix("ForAllValues:");
            let kind = match plain.unwrap_or(operator) {
                "StringEquals" => Operator::StringEquals,
                "StringLike" => Operator::StringLike,
                "ArnNotLike" => Operator::ArnNotLike,
                _ => bail!("the operator {operator} is not understood here"),
            };
            for (key, values) in keys.as_object().context("a condition without keys")? {
                conditions.push(Condition {
                    for_all_values: plain.is_some(),
                    operator: kind,
                    key: key.clone(),
                    values: strings(values)?,
                });
            }
        }
        Ok(Self {
            effect: match statement["Effect"].as_str() {
                Some("Allow") => Effect::Allow,
                Some("Deny") => Effect::Deny,
                _ => bail!("no effect"),
            },
            actions: strings(&statement["Action"])?,
            resources: strings(&statement["Resource"])?,
            sid: statement["Sid"].as_str().unwrap_or_default().to_owned(),
            conditions,
        })
    }

    /// The same in a key's own policy, where any resource is this key.
    #[must_use]
    pub fn on(mut self, resource: &str) -> Self {
        for it in &mut self.resources {
            if it == "*" {
                resource.clone_into(it);
            }
        }
        self
    }

    /// Whether it speaks of this access.
    fn applies(&self, access: &Access) -> bool {
        self.actions.iter().any(|it| matches(&it.to_lowercase(), &access.action.to_lowercase()))
            && self.resources.iter().any(|it| matches(it, &access.resource))
            && self.conditions.iter().all(|it| it.holds(access))
    }
}

impl Condition {
    fn holds(&self, access: &Access) -> bool {
        let Some(asked) = access.context.get(&self.key) else {
            // Nothing is like it, and all of nothing is.
            return self.for_all_values || matches!(self.operator, Operator::ArnNotLike);
        };
        let one = |asked: &String| self.values.iter().any(|value| self.is_met(value, asked));
        match self.operator {
            Operator::ArnNotLike => !asked.iter().any(one),
            _ if self.for_all_values => asked.iter().all(one),
            _ => asked.iter().any(one),
        }
    }

    fn is_met(&self, value: &str, asked: &str) -> bool {
        match self.operator {
            Operator::StringEquals => value == asked,
            Operator::StringLike | Operator::ArnNotLike => matches(value, asked),
        }
    }
}

/// Whether the policies allow it: some statement does, and none denies it.
pub fn allows(statements: &[Statement], access: &Access) -> bool {
    let applies = |effect| statements.iter().any(|it| it.effect == effect && it.applies(access));
    applies(Effect::Allow) && !applies(Effect::Deny)
}

/// What is wrong with `statements`, for a principal that did what `accesses` are: each must be
/// allowed, and nothing else may be.
pub fn findings(statements: &[Statement], accesses: &[Access]) -> Vec<String> {
    let mut findings = Vec::new();
    for access in accesses {
        if !allows(statements, access) {
            findings.push(format!("not allowed: {access:?}"));
        }
    }
    for statement in statements.iter().filter(|it| it.effect == Effect::Allow) {
        for action in &statement.actions {
            for resource in &statement.resources {
                let faults = too_wide(statement, action, resource, accesses);
                let sid = &statement.sid;
                findings
                    .extend(faults.iter().map(|it| format!("{sid}: {action} on {resource}: {it}")));
            }
        }
    }
    findings
}

fn too_wide(
    statement: &Statement,
    action: &str,
    resource: &str,
    accesses: &[Access],
) -> Vec<String> {
    if let Some((_, on_all)) = LAMBDAS_OWN.iter().find(|(name, _)| *name == action) {
        // A log group's ARN ends in a wildcard for its streams.
        let is_right =
            if *on_all { resource == "*" } else { !resource[..resource.len() - 1].contains('*') };
        return if is_right { vec![] } else { vec!["on more than is Lambda's own".into()] };
    }
    let mut faults = Vec::new();
    // The objects in one folder of a bucket.
    let folder = resource.strip_suffix("/*").filter(|folder| {
        folder.strip_prefix("arn:aws:s3:::").is_some_and(|path| path.contains('/'))
    });
    if action.contains(['*', '?']) || folder.unwrap_or(resource).contains(['*', '?']) {
        faults.push("a wildcard".to_owned());
    }
    for (prefix, keys) in NECESSARY {
        for key in keys.iter().filter(|_| action.starts_with(prefix)) {
            if !statement.conditions.iter().any(|condition| condition.key == *key) {
                faults.push(format!("without a condition on {key}"));
            }
        }
    }
    let used = accesses.iter().filter(|access| {
        access.action == action && matches(resource, &access.resource) && statement.applies(access)
    });
    let used: Vec<_> = used.collect();
    if used.is_empty() {
        faults.push("granted and never used".to_owned());
    }
    for condition in &statement.conditions {
        for value in &condition.values {
            // A kind of item and any id, a CA and any generation, or one item by its name.
            let stem = value.strip_suffix("#*").or(value.strip_suffix("-*")).unwrap_or(value);
            if stem.contains(['*', '?']) {
                faults.push(format!("{} may be {value}, which is any kind", condition.key));
            }
            let asks = |access: &&&Access| {
                let asked = access.context.get(&condition.key).into_iter().flatten();
                asked.into_iter().any(|asked| condition.is_met(value, asked))
            };
            if used.iter().find(asks).is_none() {
                faults.push(format!("{} may be {value} and never is", condition.key));
            }
        }
    }
    faults
}

fn strings(value: &Value) -> anyhow::Result<Vec<String>> {
    match value {
        Value::Null => Ok(Vec::new()),
        Value::String(text) => Ok(vec![text.clone()]),
        Value::Array(items) => {
            let text = |item: &Value| item.as_str().map(str::to_owned).context("no text");
            items.iter().map(text).collect()
        }
        other => bail!("{other} is no text"),
    }
}

/// `*` for any characters, `?` for one.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.chars().next() {
        None => text.is_empty(),
        Some('*') => {
            let rest = &pattern[1..];
            text.char_indices().any(|(place, _)| matches(rest, &text[place..])) || matches(rest, "")
        }
        Some(first) => {
            let mut characters = text.chars();
            let met = characters.next().is_some_and(|it| first == '?' || it == first);
            met && matches(&pattern[first.len_utf8()..], characters.as_str())
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TABLE: &str = "arn:aws:dynamodb:us-east-1:000000000000:table/t";
    const KEY: &str = "arn:aws:kms:us-east-1:000000000000:key/k";
    const FUNCTION: &str = "arn:aws:lambda:us-east-1:000000000000:function:f";

    /// A policy without fault, for [`accesses`].
    fn policy() -> Value {
        json!({ "Version": "2012-10-17", "Statement": [
            {
                "Sid": "Write", "Effect": "Allow",
                "Action": ["dynamodb:PutItem", "dynamodb:UpdateItem"], "Resource": TABLE,
                "Condition": { "ForAllValues:StringLike": { "dynamodb:LeadingKeys": ["DEVICE#*"] } },
            },
            {
                "Sid": "Sign", "Effect": "Allow", "Action": "kms:Sign", "Resource": KEY,
                "Condition": { "StringEquals": {
                    "kms:MessageType": "DIGEST", "kms:SigningAlgorithm": "ECDSA_SHA_256",
                } },
            },
            {
                "Sid": "Only", "Effect": "Deny", "Action": ["dynamodb:*", "kms:*"], "Resource": "*",
                "Condition": { "ArnNotLike": { "lambda:SourceFunctionArn": FUNCTION } },
            },
            {
                "Sid": "Trace", "Effect": "Allow", "Resource": "*",
                "Action": ["xray:PutTraceSegments", "xray:PutTelemetryRecords"],
            },
        ] })
    }

    fn access(action: &str, resource: &str, context: &[(&str, &str)]) -> Access {
        let context = context.iter().chain(&[("lambda:SourceFunctionArn", FUNCTION)]);
        Access {
            action: action.into(),
            resource: resource.into(),
            context: context.map(|(key, value)| ((*key).into(), vec![(*value).into()])).collect(),
        }
    }

    fn accesses() -> Vec<Access> {
        let device = [("dynamodb:LeadingKeys", "DEVICE#1")];
        let digest = [("kms:MessageType", "DIGEST"), ("kms:SigningAlgorithm", "ECDSA_SHA_256")];
        vec![
            access("dynamodb:PutItem", TABLE, &device),
            access("dynamodb:UpdateItem", TABLE, &device),
            access("kms:Sign", KEY, &digest),
        ]
    }

    fn found(policy: &Value, accesses: &[Access]) -> String {
        findings(&Statement::all(policy, None).unwrap(), accesses).join("\n")
    }

    /// What is found once `value` is at `place` of the policy.
    fn changed(place: &str, value: Value) -> String {
        let mut policy = policy();
        *policy.pointer_mut(place).unwrap() = value;
        found(&policy, &accesses())
    }

    #[test]
    fn nothing_is_found_where_nothing_is_wrong() {
        assert_eq!(found(&policy(), &accesses()), "");
    }

    #[test]
    fn an_action_too_many() {
        let more = json!(["dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"]);
        let found = changed("/Statement/0/Action", more);
        assert_eq!(
            found,
            format!(
                "Write: dynamodb:DeleteItem on {TABLE}: granted and never used\nWrite: dynamodb:DeleteItem on {TABLE}: dynamodb:LeadingKeys may be DEVICE#* and never is"
            )
        );
        assert!(changed("/Statement/0/Action", json!("dynamodb:*")).contains("a wildcard"));
    }

    #[test]
    fn an_action_missing() {
        let found = changed("/Statement/0/Action", json!("dynamodb:PutItem"));
        assert!(
            found.starts_with("not allowed: Access { action: \"dynamodb:UpdateItem\""),
            "{found}"
        );
    }

    #[test]
    fn a_resource_widened() {
        for wider in ["*", "arn:aws:dynamodb:us-east-1:000000000000:table/*"] {
            assert!(changed("/Statement/0/Resource", json!(wider)).contains("a wildcard"));
        }
        let both = json!([TABLE, format!("{TABLE}/index/i")]);
        assert!(changed("/Statement/0/Resource", both).contains("granted and never used"));
        assert!(changed("/Statement/1/Resource", json!("*")).contains("a wildcard"));
    }

    #[test]
    fn a_condition_dropped_or_widened() {
        let found = changed("/Statement/0/Condition", json!({}));
        assert!(found.contains("without a condition on dynamodb:LeadingKeys"), "{found}");
        let half = json!({ "StringEquals": { "kms:SigningAlgorithm": "ECDSA_SHA_256" } });
        let found = changed("/Statement/1/Condition", half);
        assert!(found.contains("without a condition on kms:MessageType"), "{found}");
        let keys = "/Statement/0/Condition/ForAllValues:StringLike/dynamodb:LeadingKeys";
        for (wider, word) in [
            (json!(["DEVICE#*", "CA#*"]), "may be CA#* and never is"),
            (json!(["*"]), "any kind"),
            (json!(["D*#*"]), "any kind"),
        ] {
            let found = changed(keys, wider);
            assert!(found.contains(word), "{found}");
        }
        let message = "/Statement/1/Condition/StringEquals/kms:MessageType";
        let found = changed(message, json!(["DIGEST", "RAW"]));
        assert!(found.contains("kms:MessageType may be RAW and never is"), "{found}");
    }

    #[test]
    fn what_conditions_do_not_allow() {
        let statements = Statement::all(&policy(), None).unwrap();
        let device = ("dynamodb:LeadingKeys", "DEVICE#1");
        let mut from_elsewhere = access("dynamodb:PutItem", TABLE, &[device]);
        assert!(allows(&statements, &from_elsewhere));
        from_elsewhere.context.remove("lambda:SourceFunctionArn");
        assert!(!allows(&statements, &from_elsewhere));
        for access in [
            access("dynamodb:PutItem", TABLE, &[("dynamodb:LeadingKeys", "CA#device")]),
            access("dynamodb:PutItem", KEY, &[device]),
            access("dynamodb:PutItem", &format!("{TABLE}2"), &[device]),
            access("kms:Sign", KEY, &[("kms:SigningAlgorithm", "ECDSA_SHA_256")]),
        ] {
            assert!(!allows(&statements, &access), "{access:?}");
        }
    }

    #[test]
    fn what_is_not_understood_is_no_policy() {
        for (place, value) in [
            ("/Statement/0", json!({ "Effect": "Allow", "NotAction": "*", "Resource": "*" })),
            ("/Statement/0/Condition", json!({ "Bool": { "aws:SecureTransport": "true" } })),
            ("/Statement/0/Effect", json!("Maybe")),
            ("/Version", json!("2008-10-17")),
        ] {
            let mut policy = policy();
            *policy.pointer_mut(place).unwrap() = value;
            assert!(Statement::all(&policy, None).is_err(), "{place}");
        }
    }

    #[test]
    fn patterns() {
        for (pattern, text, met) in [
            ("DEVICE#*", "DEVICE#1", true),
            ("DEVICE#*", "DEVICE#", true),
            ("DEVICE#*", "DEVICE", false),
            ("*#?", "a#b", true),
            ("*#?", "a#", false),
            ("a*c*e", "abcde", true),
            ("", "a", false),
        ] {
            assert_eq!(matches(pattern, text), met, "{pattern} {text}");
        }
    }
}
