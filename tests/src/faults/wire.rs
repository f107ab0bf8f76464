//! The HTTP client of the AWS SDK: delivers each call to the engine of its service, within the
//! process, and with the fault that the plan has for it.

use std::fmt;
use std::sync::{Arc, Mutex};

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use birthcert_local::kms::Kms;
use http::HeaderValue;
use http::header::CONTENT_LENGTH;
use http::request::Parts;
use http_body_util::BodyExt as _;
use hyper::body::Bytes;
use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::sleep;

use crate::aws::proxy::Call;
use crate::faults::answers::{self, Answer, answer};
use crate::faults::bucket::Bucket;
use crate::faults::dynamodb::DynamoDb;
use crate::faults::fault::{Fault, Plan, Service, Target};
use crate::faults::function::Caller;
use crate::faults::history::History;

/// The wire to all services.
#[derive(Clone)]
pub(super) struct Wire(Arc<Shared>);

struct Shared {
    dynamodb: DynamoDb,
    kms: Arc<Kms>,
    bucket: Bucket,
    plan: Mutex<Plan>,
    history: Arc<History>,
    /// Receives the names of CAs for which a CRL is requested, as the table's stream does.
    stream: UnboundedSender<String>,
}

/// A call, taken apart.
struct Request {
    service: Service,
    operation: String,
    parts: Parts,
    body: Bytes,
    json: Value,
}

impl Wire {
    /// Creates a wire to empty engines, without faults.
    pub(super) fn new(
        kms: Arc<Kms>,
        history: Arc<History>,
        stream: UnboundedSender<String>,
    ) -> anyhow::Result<Self> {
        let (dynamodb, bucket) = (DynamoDb::new()?, Bucket::new()?);
        let plan = Mutex::new(Plan::calm());
        Ok(Self(Arc::new(Shared { dynamodb, kms, bucket, plan, history, stream })))
    }

    /// Returns the SDK's HTTP client.
    pub(super) fn http_client(&self) -> SharedHttpClient {
        SharedHttpClient::new(self.clone())
    }

    /// Begins a plan of faults.
    pub(super) fn begin(&self, plan: Plan) {
        *self.0.plan.lock().unwrap() = plan;
    }

    /// Ends all faults.
    pub(super) fn mend(&self) {
        self.0.plan.lock().unwrap().end();
    }

    /// Returns the table's engine.
    pub(super) fn dynamodb(&self) -> &DynamoDb {
        &self.0.dynamodb
    }

    /// Returns the bucket.
    pub(super) fn bucket(&self) -> &Bucket {
        &self.0.bucket
    }

    async fn deliver(&self, caller: Caller, request: HttpRequest) -> Result<Answer, BrokenOff> {
        let request = Request::read(request).await;
        let target = Target {
            service: request.service,
            operation: &request.operation,
            headers: &request.parts.headers,
            is_by_function: caller.role.is_some(),
        };
        let (latency, fault) = {
            let mut plan = self.0.plan.lock().unwrap();
            (plan.latency(), plan.fault(&target))
        };
        let note = fault.map(|fault| format!(" {fault:?}")).unwrap_or_default();
        self.0.history.note(&caller.name, format!("{}{note}", request.summary()));
        if let Some(fault) = fault {
            let is_store = request.service == Service::DynamoDb;
            caller.hit(fault, is_store, request.is_update());
        }
        sleep(latency).await;
        let Some(fault) = fault else {
            return Ok(self.carry_out(&caller, &request).await);
        };
        self.fail(fault, caller, request).await
    }

    async fn fail(
        &self,
        fault: Fault,
        caller: Caller,
        request: Request,
    ) -> Result<Answer, BrokenOff> {
        match fault {
            Fault::Slow(time) => {
                sleep(time).await;
                Ok(self.carry_out(&caller, &request).await)
            }
            Fault::RequestLost => Err(BrokenOff),
            Fault::AnswerLost => {
                self.carry_out_unseen(&caller, &request).await;
                Err(BrokenOff)
            }
            Fault::Hangs => std::future::pending().await,
            Fault::CarriedOutLate(time) => {
                let wire = self.clone();
                tokio::spawn(async move {
                    sleep(time).await;
                    wire.carry_out_unseen(&caller, &request).await;
                });
                std::future::pending().await
            }
            Fault::Truncated => {
                let answer = self.carry_out_unseen(&caller, &request).await;
                let whole = answer.body().len();
                let mut half = answer.map(|body| body.slice(..whole / 2));
                // JSON shows that it is cut off. The bytes of an object do not, so S3 announces their number.
                if request.service == Service::S3 {
                    half.headers_mut().insert(CONTENT_LENGTH, whole.into());
                }
                Ok(half)
            }
            Fault::Twice => {
                self.carry_out_unseen(&caller, &request).await;
                Ok(self.carry_out(&caller, &request).await)
            }
            Fault::Throttled => Ok(answers::throttled(request.service)),
            Fault::ServerError => Ok(answers::failed(request.service)),
            Fault::Conflict if request.operation == "TransactWriteItems" => {
                Ok(self.cancelled(&request, "TransactionConflict"))
            }
            Fault::Conflict => Ok(answers::conflict(request.service)),
            Fault::InProgress => Ok(answers::in_progress()),
            Fault::CancelledForThrottling => Ok(self.cancelled(&request, "ThrottlingError")),
            Fault::KilledBefore => caller.fate.kill().await,
            Fault::KilledAfter => {
                self.carry_out_unseen(&caller, &request).await;
                caller.fate.kill().await
            }
            Fault::Frozen(time) => {
                self.carry_out_unseen(&caller, &request).await;
                caller.fate.freeze(time).await;
                Err(BrokenOff)
            }
            // Unlike a panic, this prints nothing.
            Fault::Panics => std::panic::resume_unwind(Box::new("injected by a fault schedule")),
        }
    }

    fn cancelled(&self, request: &Request, code: &str) -> Answer {
        let writes = request.json["TransactItems"].as_array().map_or(0, Vec::len);
        let place = self.0.plan.lock().unwrap().place(writes);
        answers::cancelled(writes, place, code)
    }

    /// Carries out a call, and shows the answer to its caller.
    async fn carry_out(&self, caller: &Caller, request: &Request) -> Answer {
        let answer = self.carry_out_unseen(caller, request).await;
        if request.operation == "Sign" && answer.status().is_success() {
            let digest = Call::carried_out("Sign", request.json.clone(), answer.status());
            self.0.history.saw_signature(digest.signed_digest());
        }
        answer
    }

    /// Carries out a call whose answer does not arrive whole.
    async fn carry_out_unseen(&self, caller: &Caller, request: &Request) -> Answer {
        let Shared { dynamodb, kms, bucket, plan, history, stream } = &*self.0;
        let answer = match request.service {
            Service::DynamoDb if request.json.get("IndexName").is_some() => {
                let lag = plan.lock().unwrap().lag();
                if lag.is_zero() {
                    dynamodb.call(&request.operation, &request.body)
                } else {
                    history.note(&caller.name, format!("the index lags by up to {lag:?}"));
                    dynamodb.query_index(&request.body, lag)
                }
            }
            Service::DynamoDb => dynamodb.call(&request.operation, &request.body),
            Service::Kms => {
                let (status, body) = kms.call(&request.operation, &request.body);
                answer(status, body)
            }
            Service::S3 => bucket.call(&request.parts, &request.body).await,
        };
        let call = Call::carried_out(&request.operation, request.json.clone(), answer.status());
        if answer.status().is_success() && request.is_crl_request() {
            let ca = request.json["Key"]["SK"]["S"].as_str().unwrap_or_default();
            // After the schedule nobody listens any more.
            let _ = stream.send(ca.to_owned());
        }
        if answer.status().is_success() && request.is_update() {
            caller.updated();
        }
        history.record(caller.role, request.service, call);
        answer
    }
}

impl Request {
    async fn read(request: HttpRequest) -> Self {
        let request: http::Request<SdkBody> = request.try_into_http1x().unwrap();
        let (parts, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let target = parts.headers.get("x-amz-target").map(HeaderValue::to_str);
        let target = target.transpose().unwrap().and_then(|it| it.split_once('.'));
        match target {
            Some((prefix, operation)) => Self {
                service: match prefix.starts_with("DynamoDB") {
                    true => Service::DynamoDb,
                    false => Service::Kms,
                },
                operation: operation.to_owned(),
                json: serde_json::from_slice(&body).unwrap(),
                parts,
                body,
            },
            None => {
                let (bucket, key) = parts.uri.path()[1..].split_once('/').unwrap_or_default();
                let operation = match parts.method {
                    http::Method::HEAD => "HeadObject",
                    http::Method::GET => "GetObject",
                    _ => "PutObject",
                };
                Self {
                    service: Service::S3,
                    operation: operation.to_owned(),
                    json: json!({ "Bucket": bucket, "Key": key }),
                    parts,
                    body,
                }
            }
        }
    }

    fn is_update(&self) -> bool {
        matches!(self.operation.as_str(), "UpdateItem" | "TransactWriteItems")
    }

    fn is_crl_request(&self) -> bool {
        self.operation == "UpdateItem" && self.json["Key"]["PK"]["S"] == "CRL#REQUEST"
    }

    /// Returns the operation and the kinds of items, without what differs between two runs of a seed.
    fn summary(&self) -> String {
        let kind = |request: &Value| {
            let key = if request["Key"].is_object() { &request["Key"] } else { &request["Item"] };
            let partition = key["PK"]["S"].as_str().unwrap_or_default();
            partition.split_inclusive('#').next().unwrap_or_default().to_owned()
        };
        let of = match self.operation.as_str() {
            "TransactWriteItems" => {
                let writes = self.json["TransactItems"].as_array().into_iter().flatten();
                let writes = writes.flat_map(|write| write.as_object().into_iter().flatten());
                writes.map(|(_, write)| kind(write)).collect::<Vec<_>>().join("+")
            }
            "Query" => self.json["IndexName"].as_str().unwrap_or("table").to_owned(),
            "HeadObject" | "GetObject" | "PutObject" => {
                let key = self.json["Key"].as_str().unwrap_or_default();
                // The name of a deny list is its digest.
                if key.len() > 60 { "denied/".into() } else { key.to_owned() }
            }
            _ => kind(&self.json),
        };
        format!("{} {of}", self.operation)
    }
}

/// A connection that broke.
#[derive(Debug)]
struct BrokenOff;

impl HttpClient for Wire {
    fn http_connector(
        &self,
        _: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Wire {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        // The SDK calls this from the task of the operation, which knows who runs it.
        let (wire, caller) = (self.clone(), Caller::current());
        HttpConnectorFuture::new(async move {
            match wire.deliver(caller, request).await {
                Ok(answer) => {
                    let answer = answer.map(SdkBody::from);
                    Ok(HttpResponse::try_from(answer)
                        .map_err(|error| ConnectorError::other(error.into(), None))?)
                }
                Err(BrokenOff) => {
                    let reset = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
                    Err(ConnectorError::io(reset.into()))
                }
            }
        })
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wire")
    }
}
