//! Issues certificates to devices.
//!
//! - `GET /identity` authenticates the device token, generates a key pair and issues its certificate.
//! - `POST /identity` authenticates the device token and issues a certificate for the key in the
//!   certificate signing request (CSR).
//!
//! | module | contents |
//! |---|---|
//! | `authentication` | parses the device token, and says where it is authenticated |
//! | `csr_body` | reads and verifies the CSR |
//! | `policies` | the project's policy: which keys are allowed |
//! | `suspicion` | notices when somebody guesses device tokens |
//! | `issuing_ca` | the active device CA and its key in KMS |
//! | `response` | the response with certificate, chain and private key |
//!
//! A device's first identity costs two sequential round trips: one to DynamoDB, one to KMS. The policies
//! and the CA's record are cached for a minute, and loaded before the first request.

mod authentication;
mod csr_body;
mod issuing_ca;
mod policies;
mod response;
mod suspicion;

use std::sync::Arc;

use getrandom::{SysRng, rand_core::UnwrapErr};
use http::Method;
use lambda::{
    CredentialFault, Error, Result,
    audit::{Caller, Event},
    config::Config,
    runtime::Runtime,
};
use lambda_http::{Body, Request, Response};
use ledger::{
    Issuer, TO_ISSUE, issue,
    store::{IssuanceRequest, KeySource, Policy, Store},
};
use pki::{clock::Timestamp, csr::VerifiedCsr, key::KeyPair, token::DeviceToken};

use crate::{
    authentication::parse_device_token,
    issuing_ca::{IssuingCa, IssuingCaCache},
    policies::{PolicyCache, check_key_policy},
    response::IdentityResponse,
    suspicion::Suspicion,
};

const PATH: &str = "/identity";

/// The `identity` function.
pub struct Identity {
    store: Store,
    issuing_ca: IssuingCaCache,
    policies: PolicyCache,
    suspicion: Suspicion,
    runtime: Runtime,
}

impl Identity {
    /// Creates the function from `config`. Checks the CA and its key in KMS, and loads policies, which
    /// warms both connections.
    ///
    /// # Errors
    /// If the configuration, the table, the CA or its key is unusable. Transient errors of DynamoDB and
    /// KMS are logged instead: the first request repeats the check before anything is signed.
    pub async fn start(config: &Config, runtime: Runtime) -> Result<Self> {
        let store = Store::new(config.aws.dynamodb()?, &config.table_name);
        let kms = config.aws.kms()?;
        let identity = Self {
            issuing_ca: IssuingCaCache::new(store.clone(), kms, config.roots.clone(), runtime),
            policies: PolicyCache::new(store.clone(), runtime),
            suspicion: Suspicion::new(),
            store,
            runtime,
        };
        let now = runtime.now();
        let (ca, policies) =
            tokio::join!(identity.issuing_ca.active(now), identity.policies.preload(now));
        lambda::function::tolerate_transient([ca.map(drop), policies], runtime)?;
        Ok(identity)
    }

    /// Handles one request.
    pub async fn handle(&self, request: Request) -> Response<Body> {
        let now = self.runtime.now();
        let id = lambda::http::request_id(&request);
        let token = parse_device_token(&request);
        let caller = token.as_ref().ok().map(Caller::from);
        let outcome = self.issue_identity(&request, token, now, &id).await;
        if let Err(error) = &outcome {
            self.suspicion.note(error, now);
        }
        lambda::http::respond(&id, self.runtime, caller, outcome)
    }

    async fn issue_identity(
        &self,
        request: &Request,
        token: Result<DeviceToken, CredentialFault>,
        now: Timestamp,
        request_id: &str,
    ) -> Result<IdentityResponse> {
        lambda::http::expect_route(request, "GET, POST", PATH)?;
        let token = token.map_err(Error::DeviceToken)?;
        let deadline = lambda::http::deadline(request, now);
        let arrival = lambda::http::arrival(request, now);
        let prepare = self.prepare(request, &token, now);
        let Prepared { ca, policy, csr } = deadline.leaving(TO_ISSUE).bound(prepare).await?;

        let rng = &mut UnwrapErr(SysRng);
        let (key, private_key, source) = match csr {
            Some(csr) => (csr.public_key().clone(), None, KeySource::Device),
            None => {
                let pair = KeyPair::generate(rng);
                (pair.public_key()?, Some(pair), KeySource::Generated)
            }
        };
        // Authenticates the device token before it signs, in the transaction that records the certificate.
        let issuer = Issuer { authority: &ca.authority, signer: &ca.signer, store: &self.store };
        let request = IssuanceRequest::Device { token: &token, policy: &policy, source, arrival };
        let certificate = issue(issuer, request, key, now, deadline, rng).await?;

        let (project_id, device_id) = (token.project(), token.subject());
        let serial_number = certificate.serial_number();
        let not_after = certificate.not_after();
        let ca_days_left = ca.days_left(&policy, not_after, now);
        let name = ca.authority.name().as_str();
        Event::Issued { project_id, device_id, serial_number, not_after, ca: name, ca_days_left }
            .log(self.runtime, Some(request_id));
        IdentityResponse::new(device_id, private_key.as_ref(), &certificate, &ca.authority)
    }

    /// Loads what an issuance needs, and checks what only reads can tell.
    async fn prepare(
        &self,
        request: &Request,
        token: &DeviceToken,
        now: Timestamp,
    ) -> Result<Prepared> {
        let is_suspicious = self.suspicion.is_raised(now);
        if is_suspicious {
            let policy = self.policies.of(token.project(), now).await?;
            match self.store.authenticate(token, &policy).await {
                // The issuance itself may give some back.
                Ok(()) | Err(ledger::Error::IssuanceLimitReached) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let csr = match *request.method() {
            Method::POST => Some(csr_body::read(request)?),
            _ => None,
        };
        let ca = self.issuing_ca.active(now).await?;
        let policy = self.policies.of(token.project(), now).await?;
        if let Err(error) = check_key_policy(&policy, csr.as_ref()) {
            // Only an authenticated device may learn the project's policy.
            if !is_suspicious {
                self.store.authenticate(token, &policy).await?;
            }
            return Err(error);
        }
        Ok(Prepared { ca, policy, csr })
    }
}

/// The input of an issuance.
struct Prepared {
    ca: Arc<IssuingCa>,
    policy: Policy,
    csr: Option<VerifiedCsr>,
}
