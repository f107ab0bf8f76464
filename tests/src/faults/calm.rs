//! A world without faults, for fuzz targets: the functions, an enrolled device with a certificate, and the
//! engines behind them.

use anyhow::Context as _;
use hyper::body::Bytes;
use lambda_http::request::LambdaRequest;
use ledger::store::DeviceQuery;
use pki::crl::RevocationReason::Superseded;
use pki::names::{DeviceId, TokenId};
use pki::profile::Usage;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::faults::clock;
use crate::faults::config::TABLE;
use crate::faults::device::{ENROLL, IDENTITY, event};
use crate::faults::fixture::Fixture;
use crate::faults::function::{End, Role};
use crate::faults::random::Random;
use crate::faults::world::{Response, World};

/// Certificates that the device may obtain, and devices that may enroll.
const MANY: u32 = 1_000_000;

/// A world without faults.
pub struct Calm {
    runtime: Runtime,
    world: World,
    token: TokenId,
    enrollment_token: String,
    device: DeviceId,
    device_token: String,
    serial_number: String,
}

/// A response of the API.
#[derive(Debug)]
pub struct ApiResponse {
    /// The status.
    pub status: u16,
    /// The body; null unless it is JSON.
    pub body: Value,
}

impl Calm {
    /// Creates a world.
    ///
    /// # Errors
    /// If the setup fails.
    pub fn create(fixture: &Fixture) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()?;
        let random = &mut Random::new(0, 0);
        let (world, _) = runtime.block_on(World::create(fixture, 0, random, u64::from(MANY)))?;
        let (token, enrollment_token) = {
            let token = &world.token.lock().unwrap().current;
            (token.subject(), token.expose().to_string())
        };
        let sent = event(ENROLL, "thistle-device-enrollment-token", enrollment_token.clone());
        let enrolled = runtime.block_on(ask(&world, Role::Enroll, sent)).body;
        let text = |body: &Value, name: &str| {
            body[name].as_str().map(str::to_owned).with_context(|| format!("{body}"))
        };
        let device = text(&enrolled, "device_id")?.parse()?;
        let device_token = text(&enrolled, "device_token")?;
        runtime.block_on(world.store.lift_issuance_limit(device, Some(MANY)))?;
        let sent = event(IDENTITY, "authorization", format!("Bearer {device_token}"));
        let identity = runtime.block_on(ask(&world, Role::Identity, sent)).body;
        let serial_number = text(&identity, "serial_number")?;
        Ok(Self { runtime, world, token, enrollment_token, device, device_token, serial_number })
    }

    /// Replaces `ENROLLMENT_TOKEN`, `DEVICE_TOKEN`, `PROJECT_ID`, `TOKEN_ID`, `DEVICE_ID` and
    /// `SERIAL_NUMBER` by those of the world.
    pub fn fill(&self, text: &str) -> String {
        text.replace("ENROLLMENT_TOKEN", &self.enrollment_token)
            .replace("DEVICE_TOKEN", &self.device_token)
            .replace("PROJECT_ID", &self.world.project.to_string())
            .replace("TOKEN_ID", &self.token.to_string())
            .replace("DEVICE_ID", &self.device.to_string())
            .replace("SERIAL_NUMBER", &self.serial_number)
    }

    /// Sends an event to `enroll` and to `identity`, unless it is none of API Gateway's.
    ///
    /// # Panics
    /// If a function does not answer.
    pub fn send(&self, event: &Value) -> Vec<ApiResponse> {
        if serde_json::from_str::<LambdaRequest>(&event.to_string()).is_err() {
            return Vec::new();
        }
        let answer = |role| self.runtime.block_on(ask(&self.world, role, event.clone()));
        let answers = [answer(Role::Enroll), answer(Role::Identity)];
        answers.map(|Response { status, body }| ApiResponse { status, body }).into()
    }

    /// Sends an event to `crl`. Returns false if it could not publish everything.
    ///
    /// # Panics
    /// If the function does not answer.
    pub fn publish(&self, event: Value) -> bool {
        let invocation = self.world.publish("crl".into(), event);
        match self.runtime.block_on(invocation).end {
            End::Answered(outcome) => outcome.is_ok(),
            end => panic!("crl: {end:?}"),
        }
    }

    /// Puts an item into the table, in the JSON of DynamoDB's API. Returns false if DynamoDB refuses it.
    pub fn put(&self, item: &Value) -> bool {
        let request = json!({ "TableName": TABLE, "Item": item }).to_string();
        self.world.wire.dynamodb().call("PutItem", &Bytes::from(request)).status().is_success()
    }

    /// Reads everything that operators and functions read. What they make of it does not matter: only that
    /// they return.
    pub fn read_everything(&self) {
        let (store, project, now) = (&self.world.store, self.world.project, clock::now());
        self.runtime.block_on(async {
            let _ = store.projects(None).await;
            let _ = store.project(project).await;
            let _ = store.tokens(project).await;
            let _ = store.token(project, self.token).await;
            let _ = store.devices(project, None).await;
            let _ = store.device_page(project, &DeviceQuery::default(), None, Some(10)).await;
            let _ = store.device(self.device).await;
            let _ = store.device_certificates(self.device).await;
            let _ = store.certificate(&self.serial_number).await;
            let _ = store.service_certificates().await;
            let _ = store.authorities().await;
            let _ = store.readable_authorities().await;
            let _ = store.active_authority(Usage::Device).await;
            let _ = store.crl_state("device").await;
            let _ = store.crl_requests().await;
            let _ = store.denied_devices().await;
            let _ = store.revoked_certificates("device", now, None).await;
        });
    }

    /// Revokes the device and its certificates.
    ///
    /// # Errors
    /// If the ledger refuses.
    pub fn revoke(&self) -> Result<(), ledger::Error> {
        let revocation = self.world.store.revoke_device(self.device, Superseded, clock::now());
        self.runtime.block_on(revocation).map(drop)
    }

    /// Returns true if the device is denied, and issued nothing.
    pub fn is_out(&self) -> bool {
        let event = event(IDENTITY, "authorization", format!("Bearer {}", self.device_token));
        self.runtime.block_on(async {
            let is_denied = self.world.store.is_denied(self.device).await;
            is_denied.is_ok_and(|it| it)
                && ask(&self.world, Role::Identity, event).await.status >= 400
        })
    }
}

async fn ask(world: &World, role: Role, event: Value) -> Response {
    match world.request("fuzz".into(), role, event).await.end {
        End::Answered(Some(response)) => response,
        End::Answered(None) => Response { status: 503, body: Value::Null },
        End::Killed | End::OutOfTime | End::Panicked => panic!("{role:?} does not answer"),
    }
}
