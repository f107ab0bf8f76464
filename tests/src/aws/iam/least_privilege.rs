//! Least privilege: findings in policies that allow less or more than was asked.

use crate::aws::iam::access::Access;
use crate::aws::iam::policy::{Effect, Statement, allows, matches};

/// Actions that may be granted without being seen: Lambda itself uses them with the function's
/// role. X-Ray and ListStreams do not support resources.
const LAMBDA_RUNTIME_ACTIONS: [(&str, bool); 8] = [
    ("dynamodb:DescribeStream", false),
    ("dynamodb:GetRecords", false),
    ("dynamodb:GetShardIterator", false),
    ("dynamodb:ListStreams", true),
    ("logs:CreateLogStream", false),
    ("logs:PutLogEvents", false),
    ("xray:PutTelemetryRecords", true),
    ("xray:PutTraceSegments", true),
];

/// Condition keys that a grant of these actions must restrict.
const REQUIRED_CONDITIONS: [(&str, &[&str]); 2] = [
    ("dynamodb:", &["dynamodb:LeadingKeys"]),
    ("kms:Sign", &["kms:MessageType", "kms:SigningAlgorithm"]),
];

/// Returns the findings in `statements`, given all `accesses` of the principal: each must be
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
    if let Some((_, on_all)) = LAMBDA_RUNTIME_ACTIONS.iter().find(|(name, _)| *name == action) {
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
    for (prefix, keys) in REQUIRED_CONDITIONS {
        // Serial numbers are random, so no condition narrows the index of them. It projects only keys.
        let is_of_serials = resource.ends_with("/index/serials");
        for key in keys.iter().filter(|_| action.starts_with(prefix) && !is_of_serials) {
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
            // An item type with any id, a CA of any generation, or one item by name.
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const TABLE: &str = "arn:aws:dynamodb:us-east-1:000000000000:table/t";
    const KEY: &str = "arn:aws:kms:us-east-1:000000000000:key/k";
    const FUNCTION: &str = "arn:aws:lambda:us-east-1:000000000000:function:f";

    /// Returns a policy without findings for [`accesses`].
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

    /// Returns the findings once `value` is at `place` of the policy.
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
