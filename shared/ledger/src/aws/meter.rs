//! What a request's calls to AWS cost, measured where the SDK makes them and kept with the request.

use std::{cell::RefCell, time::Instant};

use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        interceptors::{
            Intercept,
            context::{BeforeTransmitInterceptorContextRef, FinalizerInterceptorContextRef},
        },
        runtime_components::RuntimeComponents,
    },
};
use aws_smithy_types::config_bag::{ConfigBag, Storable, StoreReplace};
use serde::Deserialize;

use super::{service::AwsService, throttling::is_throttling};

tokio::task_local! {
    static REQUEST: Request;
}

/// A request to a function of AWS Lambda.
struct Request {
    function: String,
    calls: RefCell<Calls>,
}

/// The calls of a request so far, each attempt by itself.
#[derive(Default)]
pub struct Calls {
    /// To DynamoDB.
    pub dynamodb: Tally,
    /// To KMS.
    pub kms: Tally,
    /// To S3.
    pub s3: Tally,
}

/// The calls to one service.
#[derive(Default)]
pub struct Tally {
    /// How long each took, in milliseconds.
    pub latencies: Vec<f64>,
    /// How many the service throttled.
    pub throttles: u32,
    /// How many came to nothing else that we asked for. A condition that does not hold is an answer.
    pub errors: u32,
}

/// Answers a request to the Lambda function `function` while its calls are measured.
pub async fn measure<F: std::future::Future>(function: String, answer: F) -> F::Output {
    REQUEST.scope(Request { function, calls: RefCell::default() }, answer).await
}

/// Takes what was measured, with the function's name; nothing outside of a Lambda function's request.
pub fn take() -> Option<(String, Calls)> {
    let taken = REQUEST.try_with(|it| (it.function.clone(), it.calls.take()));
    taken.ok().filter(|(function, _)| !function.is_empty())
}

/// Measures the attempts of a client's calls.
#[derive(Debug)]
pub(crate) struct Meter(pub(crate) AwsService);

#[derive(Debug)]
struct Begin(Instant);

impl Storable for Begin {
    type Storer = StoreReplace<Self>;
}

impl Intercept for Meter {
    fn name(&self) -> &'static str {
        "Meter"
    }

    fn read_before_attempt(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        bag: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        bag.interceptor_state().store_put(Begin(Instant::now()));
        Ok(())
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        bag: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let took = bag.load::<Begin>().map(|begin| begin.0.elapsed());
        let fault = match context.response() {
            Some(response) if response.status().is_success() => None,
            Some(response) if self.0 == AwsService::S3 => fault_of_s3(response.status().as_u16()),
            Some(response) => fault(response.body().bytes().unwrap_or_default()),
            None => Some(Fault::Error),
        };
        // Outside of a request, such as at a cold start, there is nothing to keep it with.
        let _ = REQUEST.try_with(|request| {
            let calls = &mut *request.calls.borrow_mut();
            let tally = match self.0 {
                AwsService::DynamoDb => &mut calls.dynamodb,
                AwsService::Kms => &mut calls.kms,
                AwsService::S3 => &mut calls.s3,
            };
            tally.latencies.extend(took.map(|took| (took.as_secs_f64() * 1e5).round() / 1e2));
            match fault {
                Some(Fault::Throttle) => tally.throttles += 1,
                Some(Fault::Error) => tally.errors += 1,
                None => {}
            }
        });
        Ok(())
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Fault {
    Throttle,
    Error,
}

/// What is wrong with an answer that is no success.
fn fault(body: &[u8]) -> Option<Fault> {
    /// An error of the protocols awsJson1.0 and awsJson1.1.
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Body {
        __type: String,
        #[serde(rename = "CancellationReasons")]
        reasons: Vec<Reason>,
    }
    #[derive(Deserialize)]
    struct Reason {
        #[serde(rename = "Code", default)]
        code: String,
    }

    let Body { __type, reasons } = serde_json::from_slice(body).unwrap_or_default();
    // A namespace may come before it.
    let code = __type.rsplit('#').next().unwrap_or_default();
    match code {
        "TransactionCanceledException" => {
            reasons.iter().any(|it| is_throttling(&it.code)).then_some(Fault::Throttle)
        }
        "ConditionalCheckFailedException" | "TransactionConflictException" => None,
        // What a dry run is asked for.
        "DryRunOperationException" => None,
        code if is_throttling(code) => Some(Fault::Throttle),
        _ => Some(Fault::Error),
    }
}

/// S3 says in the status what it says to a HEAD, whose answer has no body.
fn fault_of_s3(status: u16) -> Option<Fault> {
    match status {
        // Not there, or not as the condition wants it.
        404 | 409 | 412 => None,
        503 => Some(Fault::Throttle),
        _ => Some(Fault::Error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_that_does_not_hold_is_an_answer() {
        let condition =
            br#"{"__type":"com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException"}"#;
        let cancelled =
            br#"{"__type":"com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
            "CancellationReasons":[{"Code":"ConditionalCheckFailed"},{"Code":"None"}]}"#;
        assert_eq!(fault(condition), None);
        assert_eq!(fault(br#"{"__type":"DryRunOperationException"}"#), None);
        assert_eq!(fault(cancelled), None);
    }

    #[test]
    fn tells_throttles_from_errors() {
        let throttled = br#"{"__type":"ThrottlingException"}"#;
        let cancelled =
            br#"{"__type":"com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
            "CancellationReasons":[{"Code":"None"},{"Code":"ThrottlingError"}]}"#;
        assert_eq!(fault(throttled), Some(Fault::Throttle));
        assert_eq!(fault(cancelled), Some(Fault::Throttle));
        assert_eq!(fault(br#"{"__type":"DisabledException"}"#), Some(Fault::Error));
        assert_eq!(fault(b"<html>bad gateway</html>"), Some(Fault::Error));
    }

    #[tokio::test]
    async fn there_is_nothing_outside_of_a_lambda_function() {
        assert!(take().is_none());
        measure(String::new(), async { assert!(take().is_none()) }).await;
        measure("f".into(), async { assert_eq!(take().unwrap().0, "f") }).await;
    }
}
