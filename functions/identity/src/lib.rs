//! `GET /identity`: a device token in, a new key pair and its certificate out.
//! `POST /identity`: a device token and a certification request in, a certificate for the device's own
//! key out.
//!
//! A first identity costs two round trips in sequence: one to DynamoDB, one to KMS. Project policies
//! and the CA's record are cached for a minute and loaded before the first request.

mod request;

use std::sync::Arc;

use getrandom::{SysRng, rand_core::UnwrapErr};
use http::{Method, header::AUTHORIZATION};
use lambda::{
    CredentialFault, Error, Result, audit::Event, cache::Cache, config::Config, runtime::Runtime,
};
use lambda_http::{Body, Request, Response};
use ledger::{
    Issuer, IssuerFault, Rejection, issue,
    kms::Signer,
    store::{IssuanceRequest, KeySource, Policy, PolicyTerms, Store},
};
use pki::{
    authority::{Authority, AuthorityRecord, Roots},
    certificate::Certificate,
    clock::Timestamp,
    csr::VerifiedCsr,
    key::KeyPair,
    names::{DeviceId, ProjectId},
    profile::Usage,
    token::DeviceToken,
};
use serde::Serialize;
use zeroize::Zeroizing;

const PATH: &str = "/identity";
/// How many projects' policies are loaded before the first request. A few kilobytes of the index; the
/// policy of another project costs its first request a round trip.
const PRELOADED_PROJECTS: usize = 100;

/// The function.
pub struct Identity {
    store: Store,
    kms: aws_sdk_kms::Client,
    roots: Roots,
    runtime: Runtime,
    authorities: Cache<(), Arc<IssuingCa>>,
    policies: Cache<ProjectId, Policy>,
}

/// A CA and its key, known to belong together.
struct IssuingCa {
    authority: Authority,
    signer: Signer,
}

#[derive(Serialize)]
struct Released {
    device_id: DeviceId,
    device_certificate_pem: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    device_private_key_pem: Option<Zeroizing<String>>,
    certificate_chain_pem: String,
    ca_certificate_pem: String,
    serial_number: String,
    not_before: String,
    not_after: String,
}

impl Identity {
    /// The function as `config` describes it. It checks that the CA is there and that KMS holds its
    /// key, which warms both connections; so does loading the policies.
    ///
    /// # Errors
    /// When the configuration, the table, the CA or its key cannot be used. A DynamoDB or a KMS that
    /// is only away is no reason not to start: nothing is signed before the check, and requests are
    /// told in their own words.
    pub async fn start(config: &Config, runtime: Runtime) -> Result<Self> {
        let identity = Self {
            store: Store::new(config.aws.dynamodb()?, &config.table_name),
            kms: config.aws.kms()?,
            roots: config.roots.clone(),
            runtime,
            authorities: Cache::new(),
            policies: Cache::new(),
        };
        let now = runtime.now();
        let (ca, policies) = tokio::join!(identity.issuing_ca(now), identity.preload(now));
        lambda::function::tolerate_transient([ca.map(drop), policies], runtime)?;
        Ok(identity)
    }

    /// Answers one request.
    pub async fn handle(&self, request: Request) -> Response<Body> {
        let now = self.runtime.now();
        let id = lambda::http::request_id(&request);
        let outcome = self.identify(&request, now, &id).await;
        lambda::http::respond(&id, self.runtime, outcome)
    }

    async fn identify(
        &self,
        request: &Request,
        now: Timestamp,
        request_id: &str,
    ) -> Result<Released> {
        lambda::http::expect_route(request, "GET, POST", PATH)?;
        let token = device_token(request).map_err(Error::DeviceToken)?;
        let csr = match *request.method() {
            Method::POST => Some(request::csr(request)?),
            _ => None,
        };
        let ca = self.issuing_ca(now).await?;
        let policy = self.policy(token.project(), now).await?;
        if let Err(error) = permitted(&policy, csr.as_ref()) {
            // The policy is not everybody's to know.
            self.store.authenticate(&token, &policy).await?;
            return Err(error);
        }

        let rng = &mut UnwrapErr(SysRng);
        let (key, private_key, source) = match csr {
            Some(csr) => (csr.public_key().clone(), None, KeySource::Device),
            None => {
                let pair = KeyPair::generate(rng);
                (pair.public_key()?, Some(pair), KeySource::Generated)
            }
        };
        let issuer = Issuer { authority: &ca.authority, signer: &ca.signer, store: &self.store };
        let request = IssuanceRequest::Device { token: &token, policy: &policy, source };
        let certificate = issue(issuer, request, key, now, rng).await?;

        let (project_id, device_id) = (token.project(), token.subject());
        let serial_number = certificate.serial_number();
        let not_after = certificate.not_after();
        let ca_days_left = not_after.days_until(ca.authority.certificate().not_after());
        let name = ca.authority.name().as_str();
        Event::Issued { project_id, device_id, serial_number, not_after, ca: name, ca_days_left }
            .log(self.runtime, Some(request_id));
        release(device_id, private_key.as_ref(), &certificate, &ca.authority)
    }

    async fn preload(&self, now: Timestamp) -> Result<()> {
        match self.store.projects(Some(PRELOADED_PROJECTS)).await {
            Ok(projects) => {
                for project in projects {
                    self.policies.put(project.project_id, project.policy, now);
                }
                Ok(())
            }
            // One damaged project must not stop all others; its own requests fail by themselves.
            Err(error @ ledger::Error::Item(_)) => {
                Event::StartDegraded { cause: error.to_string() }.log(self.runtime, None);
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn policy(&self, project: ProjectId, now: Timestamp) -> Result<Policy> {
        if let Some(policy) = self.policies.fresh(&project, now) {
            return Ok(policy);
        }
        // Nobody authenticated yet: a project that is not there is a token that is not right.
        let record = self.store.project(project).await?;
        let record = record.ok_or(ledger::Error::DeviceToken(Rejection::Unknown))?;
        self.policies.put(project, record.policy.clone(), now);
        Ok(record.policy)
    }

    /// The CA that was active within the last minute. Chain and key are checked when it is new to us,
    /// not every minute.
    ///
    /// Where the new one cannot be used, nobody issues: not the one before, which an operator retired,
    /// for reasons that a function does not know.
    async fn issuing_ca(&self, now: Timestamp) -> Result<Arc<IssuingCa>> {
        if let Some(ca) = self.authorities.fresh(&(), now) {
            return Ok(ca);
        }
        let record = self.store.active_authority(Usage::Device).await?;
        let record = record.ok_or_else(|| ledger::Error::Issuer {
            name: Usage::Device.to_string(),
            fault: IssuerFault::Missing,
        })?;
        let known = self.authorities.last(&());
        let ca = match &known {
            Some(known) if *known.authority.record() == record => known.clone(),
            _ => Arc::new(self.checked(record, now).await?),
        };
        if let Some(before) = known
            && before.authority.name() != ca.authority.name()
        {
            let (from, to) = (before.authority.name().as_str(), ca.authority.name().as_str());
            Event::Switched { from, to }.log(self.runtime, None);
        }
        self.authorities.put((), ca.clone(), now);
        Ok(ca)
    }

    async fn checked(&self, record: AuthorityRecord, now: Timestamp) -> Result<IssuingCa> {
        let authority = self.roots.admit(record)?;
        let signer = Signer::new(self.kms.clone(), authority.key_arn());
        authority.check(Usage::Device, now, now)?;
        signer.check(&authority).await?;
        signer.check_signing(&authority).await?;
        Ok(IssuingCa { authority, signer })
    }
}

/// Whether devices of the project may have such a key.
fn permitted(policy: &Policy, csr: Option<&VerifiedCsr>) -> Result<()> {
    let PolicyTerms { key_kinds, server_generated_keys, .. } = policy.terms();
    match csr {
        None if !server_generated_keys => Err(Error::GeneratedKeysNotAllowed),
        Some(csr) if !key_kinds.contains(csr.kind()) => {
            Err(Error::KeyKindNotAllowed { allowed: key_kinds.clone() })
        }
        _ => Ok(()),
    }
}

fn device_token(request: &Request) -> Result<DeviceToken, CredentialFault> {
    let credentials = lambda::http::single_header(request, &AUTHORIZATION)?;
    let (scheme, token) = credentials.split_once(' ').ok_or(CredentialFault::Misplaced)?;
    // RFC 9110, section 11.1: the scheme's case does not matter.
    if !scheme.eq_ignore_ascii_case("Bearer") {
        return Err(CredentialFault::Misplaced);
    }
    DeviceToken::parse(token.trim_start()).map_err(|_| CredentialFault::Malformed)
}

fn release(
    device_id: DeviceId,
    private_key: Option<&KeyPair>,
    certificate: &Certificate,
    authority: &Authority,
) -> Result<Released> {
    let leaf = certificate.pem()?;
    Ok(Released {
        device_id,
        certificate_chain_pem: format!("{leaf}{}", authority.chain_pem()),
        device_certificate_pem: leaf,
        device_private_key_pem: private_key.map(KeyPair::private_key_pem).transpose()?,
        ca_certificate_pem: authority.root_pem().to_owned(),
        serial_number: certificate.serial_number().to_owned(),
        not_before: certificate.not_before().to_string(),
        not_after: certificate.not_after().to_string(),
    })
}
