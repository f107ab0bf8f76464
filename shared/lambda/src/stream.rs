//! Events from sources other than API Gateway: the table's stream, the schedule, or a manual invocation.

use std::collections::BTreeSet;

use lambda_runtime::LambdaEvent;
use ledger::aws::meter;
use serde_json::Value;

use crate::error::{Error, Result};

/// The cause of an invocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// Changes in the table: the sort keys of the changed items.
    Changes(BTreeSet<String>),
    /// The schedule, or a manual invocation.
    Schedule,
}

impl Trigger {
    /// Returns the trigger that sent `event`.
    #[must_use]
    pub fn from_event(event: &Value) -> Self {
        // https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html
        let Some(records) = event["Records"].as_array() else {
            return Self::Schedule;
        };
        let sort_keys = records.iter().filter_map(|it| it["dynamodb"]["Keys"]["SK"]["S"].as_str());
        Self::Changes(sort_keys.map(str::to_owned).collect())
    }

    /// Adds changed items. A schedule covers all items anyway.
    pub fn add(&mut self, names: &BTreeSet<String>) {
        if let Self::Changes(changed) = self {
            changed.extend(names.iter().cloned());
        }
    }
}

/// Serves events with `handler` until Lambda ends the process. After an error of the handler, Lambda
/// delivers the event again.
///
/// # Errors
/// If the Lambda runtime API is unavailable.
pub async fn run<F>(handler: impl Fn(Trigger) -> F) -> Result<()>
where
    F: Future<Output = Result<()>>,
{
    let handler = &handler;
    let answer = async |event| answer(event, handler).await.map_err(|error| error.to_string());
    lambda_runtime::run(lambda_runtime::service_fn(answer))
        .await
        .map_err(|error| Error::Runtime(error.to_string()))
}

/// Handles one event with `handler`.
///
/// # Errors
/// If the handler fails.
pub async fn answer<F>(event: LambdaEvent<Value>, handler: impl Fn(Trigger) -> F) -> Result<()>
where
    F: Future<Output = Result<()>>,
{
    let function = event.context.env_config.function_name.clone();
    meter::measure(function, handler(Trigger::from_event(&event.payload))).await
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn distinguishes_stream_events_from_others() {
        let record = |name: &str| {
            json!({
                "eventName": "MODIFY", "eventSource": "aws:dynamodb",
                "dynamodb": { "Keys": { "PK": { "S": "CRL#REQUEST" }, "SK": { "S": name } } },
            })
        };
        let stream = json!({ "Records": [record("device"), record("server"), record("device")] });
        let names = ["device", "server"].map(str::to_owned);
        assert_eq!(Trigger::from_event(&stream), Trigger::Changes(names.into()));
        let schedule = json!({ "source": "aws.events", "detail-type": "Scheduled Event" });
        for event in [json!({}), json!(null), schedule] {
            assert_eq!(Trigger::from_event(&event), Trigger::Schedule);
        }
    }
}
