//! IAM's policy evaluation, as far as template.yaml uses it. Anything that it does not support is
//! an error.
//!
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html>

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use crate::aws::iam::access::Access;

/// The effect of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Grants access.
    Allow,
    /// Denies access, whatever other statements grant.
    Deny,
}

/// A statement of a policy.
#[derive(Clone, Debug)]
pub struct Statement {
    /// The effect.
    pub effect: Effect,
    /// Patterns of actions.
    pub actions: Vec<String>,
    /// Patterns of resources.
    pub resources: Vec<String>,
    pub(super) sid: String,
    pub(super) conditions: Vec<Condition>,
}

#[derive(Clone, Debug)]
pub(super) struct Condition {
    for_all_values: bool,
    operator: Operator,
    pub(super) key: String,
    pub(super) values: Vec<String>,
}

#[derive(Clone, Copy, Debug)]
enum Operator {
    StringEquals,
    StringLike,
    ArnNotLike,
}

impl Statement {
    /// Parses the statements of a policy document. With a `principal`, it is a resource's policy,
    /// of which only the statements for that principal are returned.
    ///
    /// # Errors
    /// If the document uses something that is not supported.
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
            ensure!(known.contains(&element.as_str()), "{element} is not supported");
        }
        let mut conditions = Vec::new();
        for (operator, keys) in statement["Condition"].as_object().into_iter().flatten() {
            let plain = operator.strip_prefix("ForAllValues:");
            let kind = match plain.unwrap_or(operator) {
                "StringEquals" => Operator::StringEquals,
                "StringLike" => Operator::StringLike,
                "ArnNotLike" => Operator::ArnNotLike,
                _ => bail!("the operator {operator} is not supported"),
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

    /// Returns the statement of a key's own policy, in which any resource means this key.
    #[must_use]
    pub fn on(mut self, resource: &str) -> Self {
        for it in &mut self.resources {
            if it == "*" {
                resource.clone_into(it);
            }
        }
        self
    }

    /// Returns true if the statement covers this access.
    pub(super) fn applies(&self, access: &Access) -> bool {
        self.actions.iter().any(|it| matches(&it.to_lowercase(), &access.action.to_lowercase()))
            && self.resources.iter().any(|it| matches(it, &access.resource))
            && self.conditions.iter().all(|it| it.holds(access))
    }
}

impl Condition {
    fn holds(&self, access: &Access) -> bool {
        let Some(asked) = access.context.get(&self.key) else {
            // Without values, no value matches, and all values do.
            return self.for_all_values || matches!(self.operator, Operator::ArnNotLike);
        };
        let one = |asked: &String| self.values.iter().any(|value| self.is_met(value, asked));
        match self.operator {
            Operator::ArnNotLike => !asked.iter().any(one),
            _ if self.for_all_values => asked.iter().all(one),
            _ => asked.iter().any(one),
        }
    }

    pub(super) fn is_met(&self, value: &str, asked: &str) -> bool {
        match self.operator {
            Operator::StringEquals => value == asked,
            Operator::StringLike | Operator::ArnNotLike => matches(value, asked),
        }
    }
}

/// Returns true if some statement allows the access, and none denies it.
pub fn allows(statements: &[Statement], access: &Access) -> bool {
    let applies = |effect| statements.iter().any(|it| it.effect == effect && it.applies(access));
    applies(Effect::Allow) && !applies(Effect::Deny)
}

fn strings(value: &Value) -> anyhow::Result<Vec<String>> {
    match value {
        Value::Null => Ok(Vec::new()),
        Value::String(text) => Ok(vec![text.clone()]),
        Value::Array(items) => {
            let text = |item: &Value| item.as_str().map(str::to_owned).context("no text");
            items.iter().map(text).collect()
        }
        other => bail!("{other} is not text"),
    }
}

/// Matches a pattern: `*` stands for any characters, `?` for one.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
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
