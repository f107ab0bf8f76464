//! Handles `POST /enroll`: authenticates the enrollment token, creates a device and returns its token.
//!
//! An enrollment costs two round trips to DynamoDB and no call to KMS: a conditional update
//! authenticates the enrollment token and counts its use, then a put creates the device. The first
//! device on a token with address ranges costs each instance a third.
//!
//! The two writes are not one transaction, because parallel enrollments on one token would conflict. See
//! [`enroll`](fn@ledger::enroll) for what happens if one of them fails.

mod form;

use getrandom::{SysRng, rand_core::UnwrapErr};
use http::HeaderName;
use lambda::{
    CredentialFault, Error, Result,
    audit::{Caller, Event},
    cache::Cache,
    config::Config,
    runtime::Runtime,
};
use lambda_http::{Body, Request, Response};
use ledger::{
    Enrollment, enroll,
    store::{DeviceRecord, DeviceStatus, Store},
};
use pki::{
    clock::Timestamp,
    names::{AddressRanges, DeviceId, ProjectId, TokenId},
    token::{DeviceToken, EnrollmentToken},
};
use serde::Serialize;
use zeroize::Zeroizing;

const PATH: &str = "/enroll";
const TOKEN: HeaderName = HeaderName::from_static("thistle-device-enrollment-token");

/// The `enroll` function.
pub struct Enroll {
    store: Store,
    runtime: Runtime,
    /// The address ranges of tokens as last seen. The write's condition compares them with the table, so
    /// a stale value costs another round trip and decides nothing.
    ranges: Cache<TokenId, Option<AddressRanges>>,
}

#[derive(Serialize)]
struct EnrollmentResponse {
    device_id: DeviceId,
    device_token: Zeroizing<String>,
    project_id: ProjectId,
    timestamp: Timestamp,
}

impl Enroll {
    /// Creates the function from `config`. Checks that the table exists, which warms the connection.
    ///
    /// # Errors
    /// If the configuration or the table is unusable. Transient errors of DynamoDB are logged instead.
    pub async fn start(config: &Config, runtime: Runtime) -> Result<Self> {
        let store = Store::new(config.aws.dynamodb()?, &config.table_name);
        lambda::function::tolerate_transient([store.check().await], runtime)?;
        Ok(Self { store, runtime, ranges: Cache::new() })
    }

    /// Handles one request.
    pub async fn handle(&self, request: Request) -> Response<Body> {
        let now = self.runtime.now();
        let id = lambda::http::request_id(&request);
        let token = parse_enrollment_token(&request);
        let caller = token.as_ref().ok().map(Caller::from);
        let outcome = self.enroll(&request, token, now, &id).await;
        lambda::http::respond(&id, self.runtime, caller, outcome)
    }

    async fn enroll(
        &self,
        request: &Request,
        token: Result<EnrollmentToken, CredentialFault>,
        now: Timestamp,
        request_id: &str,
    ) -> Result<EnrollmentResponse> {
        lambda::http::expect_route(request, "POST", PATH)?;
        let token = token.map_err(Error::EnrollmentToken)?;
        let label = form::label(request).await?;

        let rng = &mut UnwrapErr(SysRng);
        let device_token = DeviceToken::generate(token.project(), DeviceId::generate(rng), rng);
        let device = DeviceRecord {
            device_id: device_token.subject(),
            project_id: token.project(),
            label,
            status: DeviceStatus::Active,
            token_id: token.subject(),
            created_at: now,
        };
        let enrollment = Enrollment {
            token: &token,
            caller: lambda::http::source_address(request),
            device: &device,
            device_token: &device_token,
        };
        let expected = self.ranges.last(&token.subject()).flatten();
        let deadline = lambda::http::deadline(request, now);
        // Authenticates the enrollment token before the device is added.
        let ranges = enroll(&self.store, enrollment, expected, now, deadline).await?;
        self.ranges.put(token.subject(), ranges, now);

        let DeviceRecord { device_id, project_id, token_id, .. } = device;
        Event::Enrolled { project_id, device_id, token_id }.log(self.runtime, Some(request_id));
        let device_token = device_token.expose();
        Ok(EnrollmentResponse { device_id, device_token, project_id, timestamp: now })
    }
}

/// Parses the enrollment token in the header, and checks its checksum. The ledger authenticates it, in
/// [`enroll`](fn@enroll).
fn parse_enrollment_token(request: &Request) -> Result<EnrollmentToken, CredentialFault> {
    let text = lambda::http::single_header(request, &TOKEN)?;
    EnrollmentToken::parse(text).map_err(|_| CredentialFault::Malformed)
}
