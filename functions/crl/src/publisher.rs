//! One invocation of the function: finds the CRLs that are requested or due, and publishes them.

use std::{collections::BTreeSet, time::Duration};

use lambda::{Error, Result, audit::Event, config::Config, runtime::Runtime, stream::Trigger};
use ledger::{
    bucket::Bucket,
    store::{AuthorityState, DamagedAuthority, Store},
};
use pki::{
    authority::{AuthorityStatus, CaCertificate, Roots},
    clock::Timestamp,
};
use tokio::time::Instant;

use crate::{
    ca_index, objects,
    publication::{Outcome, Publication},
};

/// The delay before the round that follows an answered request. The index of revocations usually lags
/// the table by some tenths of a second.
const INDEX_LAG: Duration = Duration::from_secs(3);
/// The polling interval for further requests during that delay, so that they do not wait for its end.
/// Lambda polls the table's stream as often.
const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// The time after which an invocation answers no further requests, well below the function's timeout.
/// The stream delivers those that remain.
const WORK_LIMIT: Duration = Duration::from_secs(60);

/// The `crl` function.
pub struct Publisher {
    store: Store,
    kms: aws_sdk_kms::Client,
    bucket: Bucket,
    roots: Roots,
    runtime: Runtime,
}

/// The outcome of one round over all CAs.
struct Round {
    /// True if a request was answered.
    answered: bool,
    /// The requests as of the start of the round: the CA and the number of its requests.
    requests: Vec<(String, u64)>,
}

impl Publisher {
    /// Creates the function from `config`. Reads from the table and the bucket, which warms both
    /// connections.
    ///
    /// # Errors
    /// If the configuration, the table or the bucket is unusable. Transient errors of AWS are logged
    /// instead.
    pub async fn start(config: &Config, runtime: Runtime) -> Result<Self> {
        let function = Self {
            bucket: Bucket::new(config.aws.s3()?, config.bucket_name()?),
            store: Store::new(config.aws.dynamodb()?, &config.table_name),
            kms: config.aws.kms()?,
            roots: config.roots.clone(),
            runtime,
        };
        let (table, bucket) =
            tokio::join!(function.store.crl_requests(), function.bucket.head(objects::CA_INDEX));
        lambda::function::tolerate_transient([table.map(drop), bucket.map(drop)], runtime)?;
        Ok(function)
    }

    /// Handles one event: publishes what is due. If that answered a request, answers further requests
    /// as they arrive, and ends with another round once the index of revocations has caught up.
    ///
    /// # Errors
    /// If something could not be published. Everything else was, and the log has each cause.
    pub async fn handle(&self, mut trigger: Trigger) -> Result<()> {
        let mut round = self.run_round(&trigger).await?;
        if !round.answered {
            return Ok(());
        }
        let deadline = Instant::now() + WORK_LIMIT;
        while let Some(cas) = self.next_requests(&round.requests).await {
            if Instant::now() >= deadline {
                tokio::time::sleep(INDEX_LAG).await;
                break;
            }
            trigger.add(&cas);
            round = self.run_round(&Trigger::Changes(cas)).await?;
        }
        self.run_round(&trigger).await.map(drop)
    }

    /// Publishes what is due in one round over all CAs. Returns true if a request was answered.
    ///
    /// # Errors
    /// As [`Publisher::handle`].
    pub async fn publish_due(&self, trigger: &Trigger) -> Result<bool> {
        self.run_round(trigger).await.map(|round| round.answered)
    }

    /// Polls for requests other than `known` during [`INDEX_LAG`]. Returns their CAs as soon as there
    /// are any.
    async fn next_requests(&self, known: &[(String, u64)]) -> Option<BTreeSet<String>> {
        let end = Instant::now() + INDEX_LAG;
        while Instant::now() < end {
            tokio::time::sleep(POLL_INTERVAL).await;
            // After an error here, the round that follows anyway reads the requests.
            let requests = self.store.crl_requests().await.unwrap_or_default();
            let new = requests.into_iter().filter(|request| !known.contains(request));
            let cas: BTreeSet<_> = new.map(|(ca, _)| ca).collect();
            if !cas.is_empty() {
                return Some(cas);
            }
        }
        None
    }

    async fn run_round(&self, trigger: &Trigger) -> Result<Round> {
        let outcome = self.try_round(trigger).await;
        if let Err(error) = &outcome
            && !matches!(error, Error::Unpublished(_))
        {
            self.log_failure("all", error, None);
        }
        outcome
    }

    async fn try_round(&self, trigger: &Trigger) -> Result<Round> {
        let now = self.runtime.now();
        // Before anything else is read: the CRLs of this round then cover every request read here.
        let requests = self.store.crl_requests().await?;
        let (authorities, damaged) = self.store.readable_authorities().await?;
        let (mut failed, mut answered, mut is_retry_useful) = (Vec::new(), false, false);
        for DamagedAuthority { name, cause } in &damaged {
            let hours_left = self.last_hours_left(name, now).await;
            Event::Unpublished { ca: name, cause: cause.to_string(), hours_left }
                .log(self.runtime, None);
            failed.push(name.as_str());
        }
        for known in &authorities {
            let name = known.record.name.as_str();
            let count = requests.iter().find(|(ca, _)| ca == name).map_or(0, |(_, count)| *count);
            match self.publish_if_due(known, trigger, count, now).await {
                Ok(was_requested) => answered |= was_requested,
                Err(error) => {
                    self.log_failure(name, &error, self.hours_left(known, now).await);
                    is_retry_useful |= error.is_transient();
                    failed.push(name);
                }
            }
        }
        if let Err(error) = ca_index::publish(&self.bucket, &self.roots, &authorities).await {
            self.log_failure(objects::CA_INDEX, &error, None);
            is_retry_useful |= error.is_transient();
            failed.push(objects::CA_INDEX);
        }
        match failed.as_slice() {
            [] => Ok(Round { answered, requests }),
            // After an error, the stream redelivers this event and holds back all later ones. That does not
            // help: the schedule retries anyway, and the alarms call an operator.
            _ if matches!(trigger, Trigger::Changes(_)) && !is_retry_useful => {
                Ok(Round { answered, requests })
            }
            failed => Err(Error::Unpublished(failed.join(", "))),
        }
    }

    /// Publishes the CRL of a CA if `trigger` concerns the CA and a new CRL is requested or due.
    /// `requests` counts all requests for it so far. Returns true if any was unanswered.
    async fn publish_if_due(
        &self,
        known: &AuthorityState,
        trigger: &Trigger,
        requests: u64,
        now: Timestamp,
    ) -> Result<bool> {
        let AuthorityState { record, status, .. } = known;
        let name = record.name.to_string();
        let is_requested = requests > self.store.answered_crl_requests(&name, requests).await?;
        let is_concerned = match trigger {
            // Requests for CAs outside of the event count too: the stream delivers them only later.
            Trigger::Changes(names) => is_requested || names.contains(&name),
            Trigger::Schedule => true,
        };
        // An expired CA needs no CRL. Checked before `admit`, which may refuse the CA for its root.
        let certificate = CaCertificate::from_pem(&record.certificate_pem);
        if !is_concerned || certificate.is_ok_and(|it| it.not_after() < now) {
            return Ok(false);
        }
        let ca = self.roots.admit(record.clone())?;
        let (store, bucket, kms) = (&self.store, &self.bucket, &self.kms);
        let publication = Publication { store, bucket, kms, ca: &ca, now };
        let current = if is_requested { None } else { publication.current().await? };
        let (Outcome { crl, damaged }, published) = match current {
            Some(current) => (current, false),
            None => (publication.publish().await?, true),
        };
        if !damaged.is_empty() {
            Event::Damaged { ca: &name, count: damaged.len(), causes: damaged }
                .log(self.runtime, None);
        }
        if is_requested {
            self.store.mark_crl_requests_answered(&name, requests).await?;
        }
        Event::Crl {
            ca: &name,
            number: crl.number,
            published,
            entries: crl.entries,
            hours_left: hours_between(now, crl.next_update),
            ca_days_left: (*status == AuthorityStatus::Active)
                .then(|| now.days_until(ca.not_after())),
        }
        .log(self.runtime, None);
        Ok(is_requested)
    }

    /// Returns the hours for which the last CRL of a CA is still valid: zero for an active CA without a
    /// CRL.
    async fn hours_left(&self, ca: &AuthorityState, now: Timestamp) -> Option<u64> {
        let last = self.last_hours_left(ca.record.name.as_str(), now).await;
        last.or((ca.status == AuthorityStatus::Active).then_some(0))
    }

    /// Returns the hours for which the last CRL of a CA is still valid, if there is one.
    async fn last_hours_left(&self, ca: &str, now: Timestamp) -> Option<u64> {
        let published = self.store.crl_state(ca).await.ok()?.published;
        published.map(|last| hours_between(now, last.next_update))
    }

    fn log_failure(&self, ca: &str, error: &Error, hours_left: Option<u64>) {
        let cause = error.to_string();
        Event::Unpublished { ca, cause, hours_left }.log(self.runtime, None);
    }
}

fn hours_between(from: Timestamp, to: Timestamp) -> u64 {
    to.unix().saturating_sub(from.unix()) / 3600
}
