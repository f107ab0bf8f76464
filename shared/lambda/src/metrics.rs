//! Metrics in CloudWatch's embedded metric format: members of a log line from which CloudWatch extracts
//! metrics, without an API call.
//!
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>

use ledger::aws::meter::{Calls, ServiceCalls};
use pki::clock::Timestamp;
use serde_json::{Map, Value, json};

/// The namespace of all metrics, also in template.yaml.
const NAMESPACE: &str = "birthcert";

/// A metric that counts something.
pub(crate) struct Count {
    pub(crate) name: &'static str,
    pub(crate) value: u64,
    /// Another member of the log line, which becomes a second dimension.
    pub(crate) by: Option<&'static str>,
}

/// Returns the members of a log line for `counts` and for a request's calls to AWS.
pub(crate) fn members(
    function: &str,
    counts: impl IntoIterator<Item = Count>,
    calls: Calls,
    now: Timestamp,
) -> Map<String, Value> {
    let mut members = Map::new();
    let mut directives = Vec::new();
    let definition = |name: &str, unit: &str| json!({ "Name": name, "Unit": unit });

    let mut simple = Vec::new();
    for Count { name, value, by } in counts {
        members.insert(name.into(), value.into());
        if let Some(by) = by {
            directives.push(json!({
                "Namespace": NAMESPACE,
                "Dimensions": [["function"], ["function", by]],
                "Metrics": [definition(name, "Count")],
            }));
        } else {
            simple.push(definition(name, "Count"));
        }
    }
    for (service, tally) in [("DynamoDb", calls.dynamodb), ("Kms", calls.kms), ("S3", calls.s3)] {
        let ServiceCalls { latencies, throttles, errors } = tally;
        if latencies.is_empty() {
            continue;
        }
        let name = format!("{service}Latency");
        simple.push(definition(&name, "Milliseconds"));
        members.insert(name, latencies.into());
        // Including zeros, so that alarms can tell "no errors" from "no calls".
        for (suffix, count) in [("Throttles", throttles), ("Errors", errors)] {
            let name = format!("{service}{suffix}");
            simple.push(definition(&name, "Count"));
            members.insert(name, count.into());
        }
    }
    if !simple.is_empty() {
        directives.push(json!({
            "Namespace": NAMESPACE,
            "Dimensions": [["function"]],
            "Metrics": simple,
        }));
    }
    members.insert("function".into(), function.into());
    let metadata = json!({ "Timestamp": now.unix() * 1000, "CloudWatchMetrics": directives });
    members.insert("_aws".into(), metadata);
    members
}
