//! A proxy between the AWS SDK and an emulator. It records every call, to count round trips, and
//! injects AWS's faults on the wire.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::CONTENT_LENGTH;
use http::response::Parts;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use p256::ecdsa::signature::hazmat::PrehashSigner as _;
use p256::ecdsa::{Signature, SigningKey};
use p256::elliptic_curve::Generate as _;
use p256::pkcs8::EncodePublicKey as _;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::loopback_server::LoopbackServer;

/// Ways for a call to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// AWS throttles the call.
    Throttled,
    /// DynamoDB cancels a transaction because of a conflict with another one.
    Conflict,
    /// DynamoDB rejects a single write to an item that a transaction is writing.
    SingleConflict,
    /// AWS does not recognize the credentials.
    Refused,
    /// AWS answers with an internal error.
    ServerError,
    /// The connection breaks before the call arrives.
    Away,
    /// The call is carried out, but the connection breaks before the response.
    AnswerLost,
    /// There is never a response, and the call is not carried out.
    Hang,
    /// The call is carried out after a second.
    Slow,
    /// KMS signs with another key.
    WrongSignature,
    /// KMS returns another public key.
    OtherKey,
}

/// A call that arrived.
#[derive(Clone, Debug)]
pub struct Call {
    /// The operation, such as `Sign`.
    pub operation: String,
    /// Time of arrival.
    pub started: Instant,
    /// Time of the response.
    pub ended: Instant,
    request: Value,
    /// The emulator's status, if the call was forwarded.
    status: Option<StatusCode>,
}

/// Answers to queries of indexes, by index and partition.
#[derive(Clone, Debug, Default)]
pub struct IndexAnswers(HashMap<(String, String), (Parts, Bytes)>);

/// The proxy. Dropping it stops it.
#[derive(Debug)]
pub struct Proxy {
    shared: Arc<Shared>,
    server: LoopbackServer,
}

#[derive(Debug)]
struct Shared {
    upstream: String,
    client: Client<HttpConnector, Full<Bytes>>,
    calls: Mutex<Vec<Call>>,
    faults: Mutex<Vec<Planned>>,
    /// The last answers to queries of indexes.
    answers: Mutex<IndexAnswers>,
    /// The answers from the past that queries of indexes get instead.
    past: Mutex<IndexAnswers>,
    /// The operation whose calls wait, if any.
    held: watch::Sender<Option<&'static str>>,
    /// The number of calls that have waited.
    waiting: watch::Sender<usize>,
}

#[derive(Debug)]
struct Planned {
    operation: &'static str,
    fault: Fault,
    /// Calls that succeed before.
    after: usize,
    /// Calls that fail then.
    times: usize,
}

impl Proxy {
    /// Starts a proxy to `upstream` on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// If no port is free.
    pub async fn start(upstream: &str) -> anyhow::Result<Self> {
        let shared = Arc::new(Shared {
            upstream: upstream.to_owned(),
            client: Client::builder(TokioExecutor::new()).build_http(),
            calls: Mutex::default(),
            faults: Mutex::default(),
            answers: Mutex::default(),
            past: Mutex::default(),
            held: watch::Sender::new(None),
            waiting: watch::Sender::new(0),
        });
        let answering = shared.clone();
        let server =
            LoopbackServer::start(move |request| answer(answering.clone(), request)).await?;
        Ok(Self { shared, server })
    }

    /// The URL for `AWS_ENDPOINT_URL_*`.
    pub fn endpoint(&self) -> &str {
        &self.server.url
    }

    /// Makes every call of `operation` fail, until [`Proxy::mend`].
    pub fn fail(&self, operation: &'static str, fault: Fault) {
        self.fail_after(0, operation, usize::MAX, fault);
    }

    /// Makes the next call of `operation` fail.
    pub fn fail_once(&self, operation: &'static str, fault: Fault) {
        self.fail_after(0, operation, 1, fault);
    }

    /// Makes `times` calls of `operation` fail, after the next `after` calls.
    pub fn fail_after(&self, after: usize, operation: &'static str, times: usize, fault: Fault) {
        self.shared.faults.lock().unwrap().push(Planned { operation, fault, after, times });
    }

    /// Ends all faults.
    pub fn mend(&self) {
        self.shared.faults.lock().unwrap().clear();
        self.shared.past.lock().unwrap().0.clear();
        self.shared.held.send_replace(None);
    }

    /// Returns the last answers to queries of indexes, for [`Proxy::lag`].
    pub fn index_answers(&self) -> IndexAnswers {
        self.shared.answers.lock().unwrap().clone()
    }

    /// Makes the indexes lag: queries get these answers from the past, until [`Proxy::mend`].
    pub fn lag(&self, past: &IndexAnswers) {
        *self.shared.past.lock().unwrap() = past.clone();
    }

    /// Makes every call of `operation` wait before it arrives, until [`Proxy::mend`].
    pub fn hold(&self, operation: &'static str) {
        self.shared.held.send_replace(Some(operation));
    }

    /// Waits until a call has arrived and waits.
    ///
    /// # Errors
    /// If no call arrives within 30 s.
    pub async fn holds_a_call(&self) -> anyhow::Result<()> {
        let mut waiting = self.shared.waiting.subscribe();
        tokio::time::timeout(Duration::from_secs(30), waiting.wait_for(|calls| *calls > 0))
            .await
            .context("no call came")??;
        Ok(())
    }

    /// Returns the calls since the last `take`, in the order of their arrival.
    pub fn take(&self) -> Vec<Call> {
        let mut calls = std::mem::take(&mut *self.shared.calls.lock().unwrap());
        calls.sort_by_key(|call| call.started);
        calls
    }
}

impl Call {
    /// Returns a call that arrived by another way than a proxy, and was carried out now.
    pub fn carried_out(operation: &str, request: Value, status: StatusCode) -> Self {
        let (operation, now) = (operation.to_owned(), Instant::now());
        Self { operation, started: now, ended: now, request, status: Some(status) }
    }

    /// Returns the request's content.
    pub fn request(&self) -> &Value {
        &self.request
    }

    /// Returns true if the requested resource does not exist.
    pub fn is_missing(&self) -> bool {
        self.status == Some(StatusCode::NOT_FOUND)
    }

    /// Returns the digest that this call signed, in hex, even if the response was lost.
    pub fn signed_digest(&self) -> Option<String> {
        let carried_out = self.status.is_some_and(|status| status.is_success());
        let signed = self.operation == "Sign" && carried_out;
        let digest = signed.then(|| {
            assert_eq!(self.request["MessageType"], "DIGEST");
            assert_eq!(self.request["SigningAlgorithm"], "ECDSA_SHA_256");
            STANDARD.decode(self.request["Message"].as_str().unwrap()).unwrap()
        })?;
        if self.request["DryRun"] == true {
            // ministack signs in a dry run too; that signature is worthless.
            assert_eq!(digest, [0; 32]);
            return None;
        }
        Some(pki::hex(&digest))
    }
}

impl Shared {
    fn fault(&self, operation: &str) -> Option<Fault> {
        let mut faults = self.faults.lock().unwrap();
        let place = faults.iter().position(|planned| planned.operation == operation)?;
        let planned = &mut faults[place];
        if planned.after > 0 {
            planned.after -= 1;
            return None;
        }
        let fault = planned.fault;
        planned.times -= 1;
        if planned.times == 0 {
            faults.remove(place);
        }
        Some(fault)
    }
}

/// Answers a call. An error breaks the connection.
async fn answer(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> anyhow::Result<Response<Full<Bytes>>> {
    let started = Instant::now();
    let target = request.headers().get("x-amz-target").and_then(|value| value.to_str().ok());
    let of_s3 = target.is_none().then(|| s3_operation(&request));
    let operation = match of_s3 {
        Some(operation) => operation.to_owned(),
        None => target.and_then(|it| it.split_once('.')).unwrap_or_default().1.to_owned(),
    };
    let (mut parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();

    let mut held = shared.held.subscribe();
    if held.borrow().is_some_and(|it| it == operation) {
        shared.waiting.send_modify(|calls| *calls += 1);
        held.wait_for(|held| held.is_none_or(|it| it != operation)).await?;
    }
    let request = match of_s3 {
        Some(_) => s3_request(parts.uri.path()),
        None => serde_json::from_slice(&body).unwrap_or_default(),
    };
    let partition = index_partition(&operation, &request);
    if let Some(partition) = &partition
        && let Some((parts, body)) = shared.past.lock().unwrap().0.get(partition).cloned()
    {
        let (ended, status) = (Instant::now(), Some(parts.status));
        let call = Call { operation, started, ended, request, status };
        shared.calls.lock().unwrap().push(call);
        return Ok(Response::from_parts(parts, Full::new(body)));
    }

    let fault = shared.fault(&operation);
    let carried_out = !matches!(
        fault,
        Some(
            Fault::Throttled
                | Fault::Conflict
                | Fault::SingleConflict
                | Fault::Refused
                | Fault::ServerError
                | Fault::Away
                | Fault::Hang
        )
    );
    if fault == Some(Fault::Slow) {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let outcome = if carried_out {
        parts.uri = format!("{}{}", shared.upstream, parts.uri.path()).parse()?;
        let forwarded = Request::from_parts(parts, Full::new(body.clone()));
        let response =
            shared.client.request(forwarded).await.context("the emulator is unavailable")?;
        let (mut parts, body) = response.into_parts();
        // A forged response has another length; hyper sets the right one.
        parts.headers.remove(CONTENT_LENGTH);
        Some((parts, body.collect().await?.to_bytes()))
    } else {
        None
    };
    shared.calls.lock().unwrap().push(Call {
        operation,
        started,
        ended: Instant::now(),
        request,
        status: outcome.as_ref().map(|(parts, _)| parts.status),
    });
    if of_s3.is_some()
        && let Some(error) = fault.and_then(s3_error)
    {
        return Ok(error);
    }

    match (fault, outcome) {
        (Some(Fault::Throttled), _) => {
            Ok(aws_error(StatusCode::BAD_REQUEST, "ThrottlingException"))
        }
        (Some(Fault::Conflict), _) => {
            Ok(aws_error(StatusCode::BAD_REQUEST, "TransactionCanceledException"))
        }
        (Some(Fault::SingleConflict), _) => {
            Ok(aws_error(StatusCode::BAD_REQUEST, "TransactionConflictException"))
        }
        (Some(Fault::Hang), _) => std::future::pending().await,
        (Some(Fault::Refused), _) => {
            Ok(aws_error(StatusCode::BAD_REQUEST, "UnrecognizedClientException"))
        }
        (Some(Fault::ServerError), _) => {
            Ok(aws_error(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError"))
        }
        (Some(Fault::Away | Fault::AnswerLost), _) | (_, None) => {
            anyhow::bail!("broken on purpose")
        }
        (Some(Fault::WrongSignature), Some((parts, answer))) => {
            Ok(Response::from_parts(parts, forge(&answer, "Signature", signature(&body)?)?))
        }
        (Some(Fault::OtherKey), Some((parts, answer))) => {
            Ok(Response::from_parts(parts, forge(&answer, "PublicKey", public_key()?)?))
        }
        (None | Some(Fault::Slow), Some((parts, answer))) => {
            if let Some(partition) = partition {
                let kept = (parts.clone(), answer.clone());
                shared.answers.lock().unwrap().0.insert(partition, kept);
            }
            Ok(Response::from_parts(parts, Full::new(answer)))
        }
    }
}

/// Returns the operation of a request to S3, which does not contain its name.
fn s3_operation(request: &Request<Incoming>) -> &'static str {
    match *request.method() {
        Method::HEAD => "HeadObject",
        Method::GET => "GetObject",
        Method::PUT => "PutObject",
        _ => "",
    }
}

/// Returns the index and the partition of a query of an index, for its first page.
fn index_partition(operation: &str, request: &Value) -> Option<(String, String)> {
    let index = request["IndexName"].as_str().filter(|_| operation == "Query")?;
    if !request["ExclusiveStartKey"].is_null() {
        return None;
    }
    let name = request["KeyConditionExpression"].as_str()?.split_whitespace().nth(2)?;
    let partition = request["ExpressionAttributeValues"][name]["S"].as_str()?;
    Some((index.to_owned(), partition.to_owned()))
}

/// Returns the bucket and the key in a path.
fn s3_request(path: &str) -> Value {
    let (bucket, key) = path.trim_start_matches('/').split_once('/').unwrap_or_default();
    json!({ "Bucket": bucket, "Key": key })
}

/// Returns S3's response to a fault, if AWS reports it.
fn s3_error(fault: Fault) -> Option<Response<Full<Bytes>>> {
    let (status, code) = match fault {
        Fault::Throttled => (StatusCode::SERVICE_UNAVAILABLE, "SlowDown"),
        Fault::Conflict | Fault::SingleConflict => {
            (StatusCode::CONFLICT, "ConditionalRequestConflict")
        }
        Fault::Refused => (StatusCode::FORBIDDEN, "AccessDenied"),
        Fault::ServerError => (StatusCode::INTERNAL_SERVER_ERROR, "InternalError"),
        _ => return None,
    };
    let mut response = Response::new(Full::new(Bytes::from(format!(
        "<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>injected</Message></Error>"
    ))));
    *response.status_mut() = status;
    Some(response)
}

fn aws_error(status: StatusCode, code: &str) -> Response<Full<Bytes>> {
    let body = json!({
        "__type": code,
        "message": "injected by a test",
        // For cancelled transactions; other errors do not have it.
        "CancellationReasons": [{ "Code": "TransactionConflict" }, { "Code": "None" }],
    });
    let body = body.to_string();
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response
}

fn forge(answer: &[u8], field: &str, value: Vec<u8>) -> anyhow::Result<Full<Bytes>> {
    let mut answer: Value = serde_json::from_slice(answer)?;
    answer[field] = STANDARD.encode(value).into();
    Ok(Full::new(Bytes::from(answer.to_string())))
}

fn other_key() -> SigningKey {
    SigningKey::try_generate_from_rng(&mut getrandom::SysRng).unwrap()
}

/// Signs the request's digest with another key.
fn signature(request: &[u8]) -> anyhow::Result<Vec<u8>> {
    let request: Value = serde_json::from_slice(request)?;
    let digest = STANDARD.decode(request["Message"].as_str().context("no message")?)?;
    let signature: Signature = other_key().sign_prehash(&digest)?;
    Ok(signature.to_der().as_bytes().to_vec())
}

fn public_key() -> anyhow::Result<Vec<u8>> {
    Ok(other_key().verifying_key().to_public_key_der()?.into_vec())
}
