//! The face towards what calls a function besides API Gateway: a table's stream, a schedule, a person.

use std::collections::BTreeSet;

use lambda_runtime::LambdaEvent;
use ledger::aws::meter;
use serde_json::Value;

use crate::error::{Error, Result};

/// What called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// Changes in the table: the sort keys of the items.
    Changes(BTreeSet<String>),
    /// The time has come; or a person wants it.
    Schedule,
}

impl Trigger {
    /// Reads an event of whatever kind.
    #[must_use]
    pub fn of(event: &Value) -> Self {
        // https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html
        let Some(records) = event["Records"].as_array() else {
            return Self::Schedule;
        };
        let sort_keys = records.iter().filter_map(|it| it["dynamodb"]["Keys"]["SK"]["S"].as_str());
        Self::Changes(sort_keys.map(str::to_owned).collect())
    }

    /// What changed besides. When the time has come, all is looked at anyway.
    pub fn add(&mut self, names: &BTreeSet<String>) {
        if let Self::Changes(changed) = self {
            changed.extend(names.iter().cloned());
        }
    }
}

/// Serves events with `handler` until Lambda ends the process. To Lambda an error means that the event
/// is to be delivered again.
///
/// # Errors
/// When the runtime's API cannot be reached.
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

/// Answers one event with `handler`.
///
/// # Errors
/// The handler's.
pub async fn answer<F>(event: LambdaEvent<Value>, handler: impl Fn(Trigger) -> F) -> Result<()>
where
    F: Future<Output = Result<()>>,
{
    let function = event.context.env_config.function_name.clone();
    meter::measure(function, handler(Trigger::of(&event.payload))).await
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tells_a_stream_from_the_rest() {
        let record = |name: &str| {
            json!({
                "eventName": "MODIFY", "eventSource": "aws:dynamodb",
                "dynamodb": { "Keys": { "PK": { "S": "CRL#REQUEST" }, "SK": { "S": name } } },
            })
        };
        let stream = json!({ "Records": [record("device"), record("server"), record("device")] });
        let names = ["device", "server"].map(str::to_owned);
        assert_eq!(Trigger::of(&stream), Trigger::Changes(names.into()));
        let schedule = json!({ "source": "aws.events", "detail-type": "Scheduled Event" });
        for event in [json!({}), json!(null), schedule] {
            assert_eq!(Trigger::of(&event), Trigger::Schedule);
        }
    }
}
