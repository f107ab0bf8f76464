//! The state that everybody in a schedule shares: the functions and their configuration, the store as
//! operators use it, the enrollment token, and the history.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use birthcert_cli::ceremony;
use crl::Publisher;
use enroll::Enroll;
use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;
use identity::Identity;
use lambda::config::Config;
use lambda::runtime::Runtime;
use lambda_http::{Context, LambdaEvent, Request};
use ledger::store::{NewToken, Policy, ProjectRecord, Store};
use pki::names::{ProjectId, TokenId};
use pki::token::EnrollmentToken;
use serde_json::Value;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::faults::clock;
use crate::faults::config::{TABLE, config};
use crate::faults::fixture::Fixture;
use crate::faults::function::{Instances, Invocation, Role, invoke};
use crate::faults::history::{Change, History};
use crate::faults::random::Random;
use crate::faults::wire::Wire;

/// The time limits of the functions in template.yaml.
const API_LIMIT: Duration = Duration::from_secs(20);
const CRL_LIMIT: Duration = Duration::from_secs(120);

const RUNTIME: Runtime = Runtime { clock: clock::now, log: |_| {} };

/// The world of a schedule.
pub(super) struct World {
    pub(super) history: Arc<History>,
    pub(super) wire: Wire,
    /// The store, as operators use it.
    pub(super) store: Store,
    pub(super) project: ProjectId,
    pub(super) policy: Policy,
    pub(super) device_cap: u64,
    /// True if operators make many changes in quick succession.
    pub(super) is_busy: bool,
    /// The enrollment token and its predecessors.
    pub(super) token: Mutex<Token>,
    /// Held by the operator who changes the token: operators agree on that.
    pub(super) token_turn: tokio::sync::Mutex<()>,
    /// True once the schedule is over.
    pub(super) is_over: watch::Sender<bool>,
    config: Config,
    enroll: Instances<Enroll>,
    identity: Instances<Identity>,
    crl: Instances<Publisher>,
}

/// The enrollment token.
pub(super) struct Token {
    pub(super) current: EnrollmentToken,
    pub(super) paused: Change,
    pub(super) resumed: Change,
    /// When secrets before the current one were replaced, by the text of the token.
    pub(super) replaced: Vec<(String, Instant)>,
}

/// A function's response.
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) body: Value,
}

impl World {
    /// Creates a world with a CA, a project and an enrollment token, and without faults. Returns it with
    /// the table's stream of requests for CRLs.
    ///
    /// # Errors
    /// If the setup fails.
    pub(super) async fn create(
        fixture: &Fixture,
        seed: u64,
        random: &mut Random,
        devices: u64,
    ) -> anyhow::Result<(Self, UnboundedReceiver<String>)> {
        clock::start(fixture.started_at);
        let history = Arc::new(History::default());
        let (stream, requests) = unbounded_channel();
        let wire = Wire::new(fixture.kms.clone(), history.clone(), stream)?;
        let config = config(&wire, seed);
        let store = Store::new(config.aws.dynamodb()?, TABLE);
        store.create_table().await?;
        let (record, now) = (fixture.authority.clone(), clock::now());
        ceremony::activate_first(&store, &config.aws.kms()?, record, now).await?;

        let rng = &mut UnwrapErr(SysRng);
        let project = ProjectId::generate(rng);
        let policy = Policy::new(365, random.pick(&[0, 1, 2]), random.pick(&[3, 10, 30]))?;
        let project_record = ProjectRecord {
            project_id: project,
            name: "faults".parse()?,
            policy: policy.clone(),
            created_at: now,
        };
        store.create_project(&project_record).await?;
        let token = EnrollmentToken::generate(project, TokenId::generate(rng), rng);
        let device_cap = devices + random.below(3);
        let new = NewToken { device_cap: Some(device_cap), ..NewToken::default() };
        store.create_token(&token, new, now).await?;
        let token = Token {
            current: token,
            paused: Change::default(),
            resumed: Change::default(),
            replaced: Vec::new(),
        };

        let world = Self {
            history,
            wire,
            store,
            project,
            policy,
            device_cap,
            is_busy: random.chance(35),
            token: Mutex::new(token),
            token_turn: tokio::sync::Mutex::default(),
            is_over: watch::Sender::new(false),
            config,
            enroll: Instances::new(),
            identity: Instances::new(),
            crl: Instances::new(),
        };
        Ok((world, requests))
    }

    /// Returns a client of the table.
    ///
    /// # Errors
    /// If the configuration cannot be used.
    pub(super) fn dynamodb(&self) -> anyhow::Result<aws_sdk_dynamodb::Client> {
        Ok(self.config.aws.dynamodb()?)
    }

    /// Invokes `enroll` or `identity` with an event of API Gateway. Returns `None` in an answered
    /// invocation if the function did not start.
    pub(super) async fn request(
        &self,
        name: String,
        role: Role,
        event: Value,
    ) -> Invocation<Option<Response>> {
        let mut context = Context::default();
        let end = u128::from(clock::now().unix()) * 1_000 + API_LIMIT.as_millis();
        context.deadline = end as u64;
        let payload = serde_json::from_str(&event.to_string()).expect("an event");
        let event = LambdaEvent::new(payload, context);
        let work = async move {
            let served = if role == Role::Enroll {
                let start = Enroll::start(&self.config, RUNTIME);
                self.enroll
                    .serve(start, |it| {
                        answer(event, move |request| {
                            let it = it.clone();
                            async move { it.handle(request).await }
                        })
                    })
                    .await
            } else {
                let start = Identity::start(&self.config, RUNTIME);
                self.identity
                    .serve(start, |it| {
                        answer(event, move |request| {
                            let it = it.clone();
                            async move { it.handle(request).await }
                        })
                    })
                    .await
            };
            served.ok()
        };
        invoke(name, role, API_LIMIT, work).await
    }

    /// Invokes `crl` with an event. Answers with success or the reason of failure.
    pub(super) async fn publish(
        &self,
        name: String,
        event: Value,
    ) -> Invocation<Result<(), String>> {
        let work = async move {
            let event = LambdaEvent::new(event, Context::default());
            let start = Publisher::start(&self.config, RUNTIME);
            let served = self.crl.serve(start, |it| async move {
                lambda::stream::answer(event, |trigger| it.handle(trigger)).await
            });
            match served.await {
                Ok(Ok(())) => Ok(()),
                Ok(Err(error)) | Err(error) => Err(error.to_string()),
            }
        };
        invoke(name, Role::Crl, CRL_LIMIT, work).await
    }
}

/// Passes an event of API Gateway to a handler.
async fn answer<F>(
    event: LambdaEvent<lambda_http::request::LambdaRequest>,
    handler: impl Fn(Request) -> F,
) -> Response
where
    F: Future<Output = lambda_http::Response<lambda_http::Body>> + Send,
{
    let output = lambda::function::answer(event, RUNTIME, handler).await.expect("an answer");
    let output = serde_json::to_value(output).expect("JSON");
    Response {
        status: output["statusCode"].as_u64().expect("a status") as u16,
        body: serde_json::from_str(output["body"].as_str().unwrap_or_default()).unwrap_or_default(),
    }
}
