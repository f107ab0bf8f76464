//! The log: one line of JSON per event, which on Lambda also contains the event's metrics.
//!
//! Events are typed, so the log can contain ids and serial numbers but never tokens or keys.

use ledger::aws::meter;
use pki::{
    clock::Timestamp,
    names::{DeviceId, ProjectId, TokenId},
    token::{DeviceToken, EnrollmentToken},
};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::{
    error::Error,
    metrics::{self, Count},
    runtime::Runtime,
};

/// An event for the log.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event<'a> {
    /// A device enrolled.
    Enrolled {
        /// The device's project.
        project_id: ProjectId,
        /// The device.
        device_id: DeviceId,
        /// The enrollment token.
        token_id: TokenId,
    },
    /// A certificate was released to a device.
    Issued {
        /// The device's project.
        project_id: ProjectId,
        /// The device.
        device_id: DeviceId,
        /// The certificate's serial number, in hex.
        serial_number: &'a str,
        /// The end of the certificate's validity.
        not_after: Timestamp,
        /// The name of the CA that signed it.
        ca: &'a str,
        /// Days for which the CA can still issue certificates of this lifetime.
        ca_days_left: u64,
    },
    /// A running function switched to another CA, which an operator activated.
    Switched {
        /// The name of the previous CA.
        from: &'a str,
        /// The name of the CA that issues from now on.
        to: &'a str,
    },
    /// A CA's CRL was checked, and published if it was due.
    Crl {
        /// The name of the CA.
        ca: &'a str,
        /// The number of the published CRL.
        number: u64,
        /// True if this event published it.
        published: bool,
        /// Number of certificates in the CRL.
        entries: u64,
        /// Hours for which the CRL is still valid.
        hours_left: u64,
        /// Days until the CA, or one above it, expires; only for an active CA.
        #[serde(skip_serializing_if = "Option::is_none")]
        ca_days_left: Option<u64>,
    },
    /// A CA's CRL, or the index of all CAs, could not be published. The last one stays in place.
    Unpublished {
        /// The name of the CA, the path of the index, or `all`.
        ca: &'a str,
        /// The cause.
        cause: String,
        /// Hours for which the last CRL is still valid, if known.
        #[serde(skip_serializing_if = "Option::is_none")]
        hours_left: Option<u64>,
    },
    /// Items of the table or published files are damaged. The CRL of the CA was published without them, and
    /// with all that was known of them.
    Damaged {
        /// The name of the CA.
        ca: &'a str,
        /// The number of damaged items and files.
        count: usize,
        /// The first 20 of them, each with the cause.
        #[serde(serialize_with = "first_ones")]
        causes: Vec<String>,
    },
    /// A request was refused with a 4xx.
    Refused {
        /// The slug of the problem.
        problem: &'a str,
        /// The cause, in more detail than the caller gets.
        cause: String,
        /// The caller, if the request had a well-formed token.
        #[serde(flatten)]
        caller: Option<Caller>,
    },
    /// A request failed with a 5xx.
    Failed {
        /// The slug of the problem.
        problem: &'a str,
        /// The cause.
        cause: String,
        /// The caller, if the request had a well-formed token.
        #[serde(flatten)]
        caller: Option<Caller>,
    },
    /// A function started without a pinned root. Until the root ceremony, that is as it should be.
    RootNotPinned {
        /// The risk of that, and the remedy.
        advice: &'static str,
    },
    /// A function started without something that it needs, and retries with the first request.
    StartDegraded {
        /// The cause.
        cause: String,
    },
    /// A function cannot start.
    StartFailed {
        /// The cause.
        cause: String,
    },
}

/// The sender of a request, by the ids in its token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Caller {
    project_id: ProjectId,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_id: Option<TokenId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device_id: Option<DeviceId>,
    /// True if the token's secret is known to be right. Otherwise anybody may have claimed these ids.
    authenticated: bool,
}

impl From<&DeviceToken> for Caller {
    fn from(token: &DeviceToken) -> Self {
        let (project_id, device_id) = (token.project(), Some(token.subject()));
        Self { project_id, token_id: None, device_id, authenticated: false }
    }
}

impl From<&EnrollmentToken> for Caller {
    fn from(token: &EnrollmentToken) -> Self {
        let (project_id, token_id) = (token.project(), Some(token.subject()));
        Self { project_id, token_id, device_id: None, authenticated: false }
    }
}

#[derive(Serialize)]
struct Line<'a> {
    /// Named as in Lambda's own JSON logs.
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
    /// Returns the event of a request that ended with `error`.
    #[must_use]
    pub(crate) fn from_error(
        error: &Error,
        problem: &'a str,
        caller: Option<Caller>,
        is_server_error: bool,
    ) -> Self {
        let cause = error.to_string();
        let authenticated = error.is_after_authentication();
        let caller = caller.map(|caller| Caller { authenticated, ..caller });
        if is_server_error {
            Self::Failed { problem, cause, caller }
        } else {
            Self::Refused { problem, cause, caller }
        }
    }

    /// Writes the event to the log.
    pub fn log(&self, runtime: Runtime, request_id: Option<&str>) {
        let level = match self {
            Self::Enrolled { .. }
            | Self::Issued { .. }
            | Self::Switched { .. }
            | Self::Crl { .. } => "INFO",
            Self::Refused { .. } | Self::StartDegraded { .. } | Self::RootNotPinned { .. } => {
                "WARN"
            }
            Self::Failed { .. }
            | Self::Unpublished { .. }
            | Self::Damaged { .. }
            | Self::StartFailed { .. } => "ERROR",
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
            // Without the failing CA's hours, the other CAs' would hide that its CRL is about to expire.
            Self::Unpublished { hours_left, .. } => {
                let mut counts = vec![count_by("ca", "CrlFailures", 1)];
                counts.extend(hours_left.map(|hours| count_by("ca", "CrlHoursLeft", hours)));
                counts
            }
            Self::Damaged { count, .. } => vec![count_by("ca", "Damaged", *count as u64)],
            Self::Refused { .. } => vec![count_by("problem", "Refused", 1)],
            Self::Failed { .. } => vec![count_by("problem", "Failed", 1)],
            Self::Switched { .. }
            | Self::RootNotPinned { .. }
            | Self::StartDegraded { .. }
            | Self::StartFailed { .. } => vec![],
        }
    }
}

/// Limits the length of a line: CloudWatch takes at most 256 KiB, and there may be thousands of causes.
fn first_ones<S: serde::Serializer>(causes: &[String], serializer: S) -> Result<S::Ok, S::Error> {
    causes.get(..20).unwrap_or(causes).serialize(serializer)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    static LINES: Mutex<Vec<Value>> = Mutex::new(Vec::new());

    /// Returns the line that `event` writes in a request to the function `function`.
    async fn line(function: &str, event: Event<'_>) -> Value {
        let keep = |line: &str| LINES.lock().unwrap().push(serde_json::from_str(line).unwrap());
        let runtime = Runtime { clock: || Timestamp::from_unix(7), log: keep };
        meter::measure(function.into(), async { event.log(runtime, Some(function)) }).await;
        let lines = LINES.lock().unwrap();
        lines.iter().rfind(|line| line["request_id"] == function).unwrap().clone()
    }

    /// Returns each metric that CloudWatch finds in a line, with its dimensions and its value.
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
    async fn a_refusal_is_counted_in_total_and_by_problem() {
        let event =
            Event::Refused { problem: "token-paused", cause: "paused".into(), caller: None };
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
    async fn an_issued_certificate_reports_how_long_the_ca_can_issue() {
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
    async fn events_outside_of_lambda_have_no_metrics() {
        let runtime = Runtime {
            clock: || Timestamp::from_unix(7),
            log: |line| {
                assert!(!line.contains("_aws"));
            },
        };
        Event::StartDegraded { cause: "x".into() }.log(runtime, None);
    }

    #[test]
    fn every_metric_that_the_template_watches_exists() {
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
            Event::Refused { problem: "", cause: String::new(), caller: None },
            Event::Failed { problem: "", cause: String::new(), caller: None },
            Event::Crl {
                ca: "",
                number: 1,
                published: true,
                entries: 0,
                hours_left: 0,
                ca_days_left: None,
            },
            Event::Unpublished { ca: "", cause: String::new(), hours_left: None },
            Event::Damaged { ca: "", count: 1, causes: Vec::new() },
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
        // Metrics of alarms, of their expressions, and of the dashboard.
        let alarms = watched("Namespace: birthcert\n      MetricName: ", '\n');
        let terms = watched("Namespace: birthcert\n              MetricName: ", '\n');
        let graphs = watched("[\"birthcert\", \"", '"');
        assert!(!alarms.is_empty() && !terms.is_empty() && !graphs.is_empty());
        for name in alarms.iter().chain(&terms).chain(&graphs) {
            assert!(
                members.contains_key(name),
                "template.yaml watches {name}, which no event counts"
            );
        }
    }
}
