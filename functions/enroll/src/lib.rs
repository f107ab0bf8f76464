//! `POST /enroll`: an enrollment token in, a device with a token of its own out.
//!
//! Two round trips to DynamoDB and no KMS: a conditional update counts the use of the enrollment
//! token, then a put adds the device. (Three for the first device on a token with address ranges that
//! this instance has not seen.) Not in one transaction, which would make the parallel
//! enrollments on one token conflict; a crash between the two costs one use and nothing else.

mod form;

use getrandom::{SysRng, rand_core::UnwrapErr};
use http::HeaderName;
use lambda::{
    CredentialFault, Error, Result, audit::Event, cache::Cache, config::Config, runtime::Runtime,
};
use lambda_http::{Body, Request, Response};
use ledger::store::{DeviceRecord, DeviceStatus, Store};
use pki::{
    clock::Timestamp,
    names::{AddressRanges, DeviceId, ProjectId, TokenId},
    token::{DeviceToken, EnrollmentToken},
};
use serde::Serialize;
use zeroize::Zeroizing;

const PATH: &str = "/enroll";
const TOKEN: HeaderName = HeaderName::from_static("thistle-device-enrollment-token");

/// The function.
pub struct Enroll {
    store: Store,
    runtime: Runtime,
    /// The address ranges that tokens were last seen to have. They decide nothing: each is part of a
    /// write's condition, which costs a second round trip where it does not hold any more.
    ranges: Cache<TokenId, Option<AddressRanges>>,
}

#[derive(Serialize)]
struct Enrolled {
    device_id: DeviceId,
    device_token: Zeroizing<String>,
    project_id: ProjectId,
    timestamp: Timestamp,
}

impl Enroll {
    /// The function as `config` describes it. It checks that the table is there, which warms the
    /// connection to it.
    ///
    /// # Errors
    /// When the configuration or the table cannot be used. A DynamoDB that is only away is no
    /// reason not to start: requests are told so in their own words.
    pub async fn start(config: &Config, runtime: Runtime) -> Result<Self> {
        let store = Store::new(config.aws.dynamodb()?, &config.table_name);
        lambda::function::tolerate_transient([store.check().await], runtime)?;
        Ok(Self { store, runtime, ranges: Cache::new() })
    }

    /// Answers one request.
    pub async fn handle(&self, request: Request) -> Response<Body> {
        let now = self.runtime.now();
        let id = lambda::http::request_id(&request);
        let outcome = self.enroll(&request, now, &id).await;
        lambda::http::respond(&id, self.runtime, outcome)
    }

    async fn enroll(
        &self,
        request: &Request,
        now: Timestamp,
        request_id: &str,
    ) -> Result<Enrolled> {
        lambda::http::expect_route(request, "POST", PATH)?;
        let token = enrollment_token(request).map_err(Error::EnrollmentToken)?;
        let label = form::label(request).await?;

        let caller = lambda::http::source_address(request);
        let expected = self.ranges.last(&token.subject()).flatten();
        let ranges = self.store.admit(&token, caller, expected, now).await?;
        self.ranges.put(token.subject(), ranges, now);

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
        self.store.create_device(&device, &device_token).await?;

        let DeviceRecord { device_id, project_id, token_id, .. } = device;
        Event::Enrolled { project_id, device_id, token_id }.log(self.runtime, Some(request_id));
        Ok(Enrolled { device_id, device_token: device_token.expose(), project_id, timestamp: now })
    }
}

fn enrollment_token(request: &Request) -> Result<EnrollmentToken, CredentialFault> {
    let text = lambda::http::single_header(request, &TOKEN)?;
    EnrollmentToken::parse(text).map_err(|_| CredentialFault::Malformed)
}
