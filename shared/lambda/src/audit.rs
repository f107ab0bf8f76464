//! What happened, for the log: one line of JSON an event, which on Lambda carries its metrics too.
//!
//! Events are typed so that nothing gets into the log that was not meant to: ids and serial numbers,
//! never tokens or keys.

use ledger::aws::meter;
use pki::{
    clock::Timestamp,
    names::{DeviceId, ProjectId, TokenId},
};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::{
    error::Error,
    metrics::{self, Count},
    runtime::Runtime,
};

/// Something that happened.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event<'a> {
    /// A device came in on an enrollment token.
    Enrolled {
        /// The project it belongs to.
        project_id: ProjectId,
        /// The device.
        device_id: DeviceId,
        /// The token it came in on.
        token_id: TokenId,
    },
    /// A certificate was released to a device.
    Issued {
        /// The project it belongs to.
        project_id: ProjectId,
        /// The device.
        device_id: DeviceId,
        /// Of the certificate, in hex.
        serial_number: &'a str,
        /// End of its validity.
        not_after: Timestamp,
        /// The name of the CA that signed it.
        ca: &'a str,
        /// For how many more days the CA can issue certificates that are valid for as long as this one.
        ca_days_left: u64,
    },
    /// A function that runs takes up another CA, because an operator activated it.
    Switched {
        /// The name of the CA that signed until now.
        from: &'a str,
        /// The name of the one that signs from now on.
        to: &'a str,
    },
    /// The list of a CA's revoked certificates was looked at, and published anew if that was due.
    Crl {
        /// The CA.
        ca: &'a str,
        /// The number of what is published.
        number: u64,
        /// Whether it was published just now.
        published: bool,
        /// How many certificates it revokes.
        entries: u64,
        /// For how many more hours it is valid.
        hours_left: u64,
        /// For how many more days the CA is valid, or the first of those above it; of one that issues.
        #[serde(skip_serializing_if = "Option::is_none")]
        ca_days_left: Option<u64>,
    },
    /// The list of a CA's revoked certificates could not be published. The last one goes on.
    Unpublished {
        /// The CA; or what else it was.
        ca: &'a str,
        /// Why.
        cause: String,
        /// For how many more hours the last one is valid, if that is known.
        #[serde(skip_serializing_if = "Option::is_none")]
        hours_left: Option<u64>,
    },
    /// A request was refused: the caller's fault.
    Refused {
        /// The kind in the error catalogue.
        problem: &'a str,
        /// Why, in more words than the caller is told.
        cause: String,
    },
    /// A request failed: not the caller's fault.
    Failed {
        /// The kind in the error catalogue.
        problem: &'a str,
        /// Why.
        cause: String,
    },
    /// A function starts without something that it will need, and tries again later.
    StartDegraded {
        /// What, and why.
        cause: String,
    },
    /// A function cannot start.
    StartFailed {
        /// Why.
        cause: String,
    },
}

#[derive(Serialize)]
struct Line<'a> {
    /// Under the name that Lambda's JSON logs have for it.
    timestamp: String,
    level: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    #[serde(flatten)]
    event: &'a Event<'a>,
    #[serde(flatten)]
    metrics: Map<String, Value>,
}

impl<'a> Event<'a> {
    /// A request that came to nothing.
    #[must_use]
    pub fn of_error(error: &Error, problem: &'a str, is_server_error: bool) -> Self {
        let cause = error.to_string();
        if is_server_error {
            Self::Failed { problem, cause }
        } else {
            Self::Refused { problem, cause }
        }
    }

    /// Writes it to the log.
    pub fn log(&self, runtime: Runtime, request_id: Option<&str>) {
        let level = match self {
            Self::Enrolled { .. }
            | Self::Issued { .. }
            | Self::Switched { .. }
            | Self::Crl { .. } => "INFO",
            Self::Refused { .. } | Self::StartDegraded { .. } => "WARN",
            Self::Failed { .. } | Self::Unpublished { .. } | Self::StartFailed { .. } => "ERROR",
        };
        let now = runtime.now();
        let metrics = match meter::take() {
            Some((function, calls)) => metrics::members(&function, self.counts(), calls, now),
            None => Map::new(),
        };
        let line = Line { timestamp: now.to_string(), level, request_id, event: self, metrics };
        if let Ok(line) = serde_json::to_string(&line) {
            (runtime.log)(&line);
        }
    }

    fn counts(&self) -> Vec<Count> {
        let count = |name, value| Count { name, value, by: None };
        let count_by = |by, name, value| Count { name, value, by: Some(by) };
        match self {
            Self::Enrolled { .. } => vec![count("Enrolled", 1)],
            Self::Issued { ca_days_left, .. } => {
                vec![count("Issued", 1), count("CaDaysLeft", *ca_days_left)]
            }
            Self::Crl { published, entries, hours_left, ca_days_left, .. } => {
                let mut counts = vec![
                    count_by("ca", "CrlPublished", u64::from(*published)),
                    count_by("ca", "CrlEntries", *entries),
                    count_by("ca", "CrlHoursLeft", *hours_left),
                ];
                counts.extend(ca_days_left.map(|days| count_by("ca", "CaDaysLeft", days)));
                counts
            }
            // Of the list that fails: the others' would hide that it runs out.
            Self::Unpublished { hours_left, .. } => {
                let mut counts = vec![count_by("ca", "CrlFailures", 1)];
                counts.extend(hours_left.map(|hours| count_by("ca", "CrlHoursLeft", hours)));
                counts
            }
            Self::Refused { .. } => vec![count_by("problem", "Refused", 1)],
            Self::Failed { .. } => vec![count_by("problem", "Failed", 1)],
            Self::Switched { .. } | Self::StartDegraded { .. } | Self::StartFailed { .. } => vec![],
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    static LINES: Mutex<Vec<Value>> = Mutex::new(Vec::new());

    /// The line that `event` makes, in a request to the function `function`.
    async fn line(function: &str, event: Event<'_>) -> Value {
        let keep = |line: &str| LINES.lock().unwrap().push(serde_json::from_str(line).unwrap());
        let runtime = Runtime { clock: || Timestamp::from_unix(7), log: keep };
        meter::measure(function.into(), async { event.log(runtime, Some(function)) }).await;
        let lines = LINES.lock().unwrap();
        lines.iter().rfind(|line| line["request_id"] == function).unwrap().clone()
    }

    /// Each metric that CloudWatch finds in a line, with its dimensions and its value.
    fn metrics(line: &Value) -> Vec<(String, Vec<String>, u64)> {
        let mut found = Vec::new();
        for directive in line["_aws"]["CloudWatchMetrics"].as_array().unwrap() {
            assert_eq!(directive["Namespace"], "birthcert");
            for dimensions in directive["Dimensions"].as_array().unwrap() {
                let names = dimensions.as_array().unwrap().iter().map(|it| it.as_str().unwrap());
                let values: Vec<_> =
                    names.map(|name| line[name].as_str().unwrap().into()).collect();
                for metric in directive["Metrics"].as_array().unwrap() {
                    let name = metric["Name"].as_str().unwrap();
                    found.push((name.to_owned(), values.clone(), line[name].as_u64().unwrap()));
                }
            }
        }
        found
    }

    #[tokio::test]
    async fn a_refusal_is_counted_as_such_and_by_its_problem() {
        let event = Event::Refused { problem: "token-paused", cause: "paused".into() };
        let line = line("f-enroll", event).await;
        assert_eq!(line["_aws"]["Timestamp"], 7000);
        assert_eq!(
            metrics(&line),
            [
                ("Refused".to_owned(), vec!["f-enroll".to_owned()], 1),
                ("Refused".to_owned(), vec!["f-enroll".into(), "token-paused".into()], 1),
            ]
        );
    }

    #[tokio::test]
    async fn a_certificate_tells_how_long_the_ca_can_go_on() {
        let rng = &mut getrandom::rand_core::UnwrapErr(getrandom::SysRng);
        let event = Event::Issued {
            project_id: ProjectId::generate(rng),
            device_id: DeviceId::generate(rng),
            serial_number: "0a",
            not_after: Timestamp::from_unix(9),
            ca: "device",
            ca_days_left: 30,
        };
        let line = line("f-identity", event).await;
        let function = vec!["f-identity".to_owned()];
        let expected =
            [("Issued".to_owned(), function.clone(), 1), ("CaDaysLeft".into(), function, 30)];
        assert_eq!(metrics(&line), expected);
        assert_eq!(line["not_after"], 9);
    }

    #[tokio::test]
    async fn there_are_no_metrics_outside_of_lambda() {
        let runtime = Runtime {
            clock: || Timestamp::from_unix(7),
            log: |line| {
                assert!(!line.contains("_aws"));
            },
        };
        Event::StartDegraded { cause: "x".into() }.log(runtime, None);
    }

    #[test]
    fn the_template_watches_metrics_that_there_are() {
        let rng = &mut getrandom::rand_core::UnwrapErr(getrandom::SysRng);
        let (project_id, device_id) = (ProjectId::generate(rng), DeviceId::generate(rng));
        let (token_id, at) = (TokenId::generate(rng), Timestamp::from_unix(0));
        let events = [
            Event::Enrolled { project_id, device_id, token_id },
            Event::Issued {
                project_id,
                device_id,
                serial_number: "",
                not_after: at,
                ca: "",
                ca_days_left: 0,
            },
            Event::Refused { problem: "", cause: String::new() },
            Event::Failed { problem: "", cause: String::new() },
            Event::Crl {
                ca: "",
                number: 1,
                published: true,
                entries: 0,
                hours_left: 0,
                ca_days_left: None,
            },
            Event::Unpublished { ca: "", cause: String::new(), hours_left: None },
        ];
        let mut calls = meter::Calls::default();
        calls.dynamodb.latencies.push(1.0);
        calls.kms.latencies.push(1.0);
        calls.s3.latencies.push(1.0);
        let members = metrics::members("f", events.iter().flat_map(Event::counts), calls, at);

        let template = concat!(env!("CARGO_MANIFEST_DIR"), "/../../template.yaml");
        let template = std::fs::read_to_string(template).unwrap();
        let watched = |before: &str, after: char| -> Vec<String> {
            let found = template.split(before).skip(1);
            found.map(|rest| rest.split(after).next().unwrap().trim().to_owned()).collect()
        };
        // Alarms, terms of their expressions, and the dashboard.
        let alarms = watched("Namespace: birthcert\n      MetricName: ", '\n');
        let terms = watched("Namespace: birthcert\n              MetricName: ", '\n');
        let graphs = watched("[\"birthcert\", \"", '"');
        assert!(!alarms.is_empty() && !terms.is_empty() && !graphs.is_empty());
        for name in alarms.iter().chain(&terms).chain(&graphs) {
            assert!(
                members.contains_key(name),
                "template.yaml watches {name}, which nothing counts"
            );
        }
    }
}
