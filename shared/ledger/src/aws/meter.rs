//! Metrics of the calls to AWS that a request makes, measured by an interceptor of the SDK and collected per
//! request.

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

/// The request that is being measured.
struct Request {
    function: String,
    calls: RefCell<Calls>,
}

/// The calls of a request so far. Each attempt counts as a call.
#[derive(Default)]
pub struct Calls {
    /// Calls to DynamoDB.
    pub dynamodb: ServiceCalls,
    /// Calls to KMS.
    pub kms: ServiceCalls,
    /// Calls to S3.
    pub s3: ServiceCalls,
}

/// The calls to one AWS service.
#[derive(Default)]
pub struct ServiceCalls {
    /// The duration of each call, in milliseconds.
    pub latencies: Vec<f64>,
    /// The number of throttled calls.
    pub throttles: u32,
    /// The number of other failed calls. A failed condition is a regular answer and does not count.
    pub errors: u32,
}

/// Runs `handler`, which answers a request to the Lambda function `function`, and measures its calls.
pub async fn measure<F: std::future::Future>(function: String, handler: F) -> F::Output {
    REQUEST.scope(Request { function, calls: RefCell::default() }, handler).await
}

/// Takes the calls measured so far, with the function's name. Returns `None` outside of [`measure`], or if
/// that name is empty.
pub fn take() -> Option<(String, Calls)> {
    let taken = REQUEST.try_with(|it| (it.function.clone(), it.calls.take()));
    taken.ok().filter(|(function, _)| !function.is_empty())
}

/// An interceptor that measures each attempt of a client's calls.
#[derive(Debug)]
pub(crate) struct Meter(pub(crate) AwsService);

#[derive(Debug)]
struct AttemptStart(Instant);

impl Storable for AttemptStart {
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
        bag.interceptor_state().store_put(AttemptStart(Instant::now()));
        Ok(())
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        bag: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let took = bag.load::<AttemptStart>().map(|start| start.0.elapsed());
        let fault = match context.response() {
            Some(response) if response.status().is_success() => None,
            Some(response) if self.0 == AwsService::S3 => s3_fault(response.status().as_u16()),
            Some(response) => fault(response.body().bytes().unwrap_or_default()),
            None => Some(Fault::Error),
        };
        // Calls outside of a request, such as at cold start, are not recorded.
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

/// Classifies the body of an unsuccessful response from DynamoDB or KMS.
fn fault(body: &[u8]) -> Option<Fault> {
    /// An error in the protocols awsJson1.0 and awsJson1.1.
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
    // The code may have a namespace prefix.
    let code = __type.rsplit('#').next().unwrap_or_default();
    match code {
        "TransactionCanceledException" => {
            reasons.iter().any(|it| is_throttling(&it.code)).then_some(Fault::Throttle)
        }
        "ConditionalCheckFailedException" | "TransactionConflictException" => None,
        // The success of a dry run.
        "DryRunOperationException" => None,
        code if is_throttling(code) => Some(Fault::Throttle),
        _ => Some(Fault::Error),
    }
}

/// Classifies an unsuccessful response from S3 by its status, because responses to HEAD have no body.
fn s3_fault(status: u16) -> Option<Fault> {
    match status {
        // No such object, or a failed precondition.
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
