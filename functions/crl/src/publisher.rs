//! One invocation of the function.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use lambda::{Error, Result, audit::Event, config::Config, runtime::Runtime, stream::Trigger};
use ledger::{
    bucket::Bucket,
    store::{KnownAuthority, Store},
};
use pki::{
    authority::{AuthorityStatus, CaCertificate, Roots},
    clock::Timestamp,
};

use crate::objects;

/// How long after a request it is looked again. The index is usually some tenths of a second behind.
const SETTLE: Duration = Duration::from_secs(3);
/// Between two looks at the requests meanwhile, as often as Lambda looks at the table's stream: who asks
/// now does not wait for those who asked before.
const POLL: Duration = Duration::from_millis(250);
/// After so long it ends in any case, well below its time limit. The stream has the requests that are left.
const AT_WORK: Duration = Duration::from_secs(60);

/// The function.
pub struct Publisher {
    pub(crate) store: Store,
    pub(crate) kms: aws_sdk_kms::Client,
    pub(crate) bucket: Bucket,
    pub(crate) roots: Roots,
    pub(crate) runtime: Runtime,
}

/// What came of looking at the CAs once.
struct Looked {
    /// Whether anybody had asked for a list.
    answered: bool,
    /// Who had asked, and how often.
    requests: Vec<(String, u64)>,
}

impl Publisher {
    /// The function as `config` describes it. It looks at the table and at the bucket, which warms both
    /// connections.
    ///
    /// # Errors
    /// When the configuration, the table or the bucket cannot be used. An AWS that is only away is no
    /// reason not to start.
    pub async fn start(config: &Config, runtime: Runtime) -> Result<Self> {
        let function = Self {
            bucket: Bucket::new(config.aws.s3()?, config.bucket_name()?),
            store: Store::new(config.aws.dynamodb()?, &config.table_name),
            kms: config.aws.kms()?,
            roots: config.roots.clone(),
            runtime,
        };
        let (table, bucket) =
            tokio::join!(function.store.crl_requests(), function.bucket.stored(objects::INDEX));
        lambda::function::tolerate_transient([table.map(drop), bucket.map(drop)], runtime)?;
        Ok(function)
    }

    /// Answers one event.
    ///
    /// # Errors
    /// When something was not published; all else was. The log says of each why.
    pub async fn handle(&self, mut trigger: Trigger) -> Result<()> {
        let mut looked = self.look(&trigger).await?;
        if !looked.answered {
            return Ok(());
        }
        let end = Instant::now() + AT_WORK;
        while let Some(names) = self.asked_since(&looked.requests).await {
            if Instant::now() >= end {
                tokio::time::sleep(SETTLE).await;
                break;
            }
            trigger.add(&names);
            looked = self.look(&Trigger::Changes(names)).await?;
        }
        self.look(&trigger).await.map(drop)
    }

    /// The CAs whose lists somebody asks for within [`SETTLE`], after what was seen; as soon as that is
    /// known.
    async fn asked_since(&self, seen: &[(String, u64)]) -> Option<BTreeSet<String>> {
        let end = Instant::now() + SETTLE;
        while Instant::now() < end {
            tokio::time::sleep(POLL).await;
            // What cannot be read now is read by the look that comes anyway.
            let requests = self.store.crl_requests().await.unwrap_or_default();
            let new = requests.into_iter().filter(|request| !seen.contains(request));
            let names: BTreeSet<_> = new.map(|(ca, _)| ca).collect();
            if !names.is_empty() {
                return Some(names);
            }
        }
        None
    }

    /// Looks at each CA once, and publishes what is due. Returns whether anybody had asked for it.
    ///
    /// # Errors
    /// As [`Publisher::handle`].
    pub async fn publish_due(&self, trigger: &Trigger) -> Result<bool> {
        self.look(trigger).await.map(|looked| looked.answered)
    }

    async fn look(&self, trigger: &Trigger) -> Result<Looked> {
        let outcome = self.look_at_all(trigger).await;
        if let Err(error) = &outcome
            && !matches!(error, Error::Unpublished(_))
        {
            self.unpublished("all", error, None);
        }
        outcome
    }

    async fn look_at_all(&self, trigger: &Trigger) -> Result<Looked> {
        let now = self.runtime.now();
        // Before anything is read: what was asked for until now is in what is published next.
        let requests = self.store.crl_requests().await?;
        let authorities = self.store.authorities().await?;
        let (mut failed, mut answered, mut is_worth_a_try) = (Vec::new(), false, false);
        for known in &authorities {
            let name = known.record.name.as_str();
            let asked = requests.iter().find(|(ca, _)| ca == name).map_or(0, |(_, count)| *count);
            match self.look_after(known, trigger, asked, now).await {
                Ok(was_asked) => answered |= was_asked,
                Err(error) => {
                    self.unpublished(name, &error, self.hours_left(known, now).await);
                    is_worth_a_try |= error.is_transient();
                    failed.push(name);
                }
            }
        }
        if let Err(error) = self.publish_catalogue(&authorities).await {
            self.unpublished(objects::INDEX, &error, None);
            is_worth_a_try |= error.is_transient();
            failed.push(objects::INDEX);
        }
        match failed.as_slice() {
            [] => Ok(Looked { answered, requests }),
            // The stream would deliver this again and again, and hold back all that comes after. The clock
            // tries it again, and the alarms tell who mends it.
            _ if matches!(trigger, Trigger::Changes(_)) && !is_worth_a_try => {
                Ok(Looked { answered, requests })
            }
            failed => Err(Error::Unpublished(failed.join(", "))),
        }
    }

    /// Publishes a CA's list if it is due, and whether it was asked for.
    async fn look_after(
        &self,
        known: &KnownAuthority,
        trigger: &Trigger,
        asked: u64,
        now: Timestamp,
    ) -> Result<bool> {
        let KnownAuthority { record, status, .. } = known;
        let name = record.name.to_string();
        let is_asked = asked > self.store.crl_state(&name).await?.answered;
        let is_meant = match trigger {
            // Whoever else waits: the stream brings them only after this.
            Trigger::Changes(names) => is_asked || names.contains(&name),
            Trigger::Schedule => true,
        };
        // Nobody needs a list of what expired with its CA, whatever became of the root above it.
        let certificate = CaCertificate::from_pem(&record.certificate_pem);
        if !is_meant || certificate.is_ok_and(|it| it.not_after() < now) {
            return Ok(false);
        }
        let ca = self.roots.admit(record.clone())?;
        let kept = if is_asked { None } else { self.unchanged(&ca, now).await? };
        let (crl, published) = match kept {
            Some(kept) => (kept, false),
            None => (self.publish(&ca, now).await?, true),
        };
        if is_asked {
            self.store.answer_crl_requests(&name, asked).await?;
        }
        Event::Crl {
            ca: &name,
            number: crl.number,
            published,
            entries: crl.entries,
            hours_left: hours(now, crl.next_update),
            ca_days_left: (*status == AuthorityStatus::Active)
                .then(|| now.days_until(ca.not_after())),
        }
        .log(self.runtime, None);
        Ok(is_asked)
    }

    /// For how many more hours the last list of a CA is valid: for none, where one that issues has none.
    async fn hours_left(&self, ca: &KnownAuthority, now: Timestamp) -> Option<u64> {
        let state = self.store.crl_state(ca.record.name.as_str()).await.ok()?;
        let last = state.published.map(|last| hours(now, last.next_update));
        last.or((ca.status == AuthorityStatus::Active).then_some(0))
    }

    fn unpublished(&self, ca: &str, error: &Error, hours_left: Option<u64>) {
        let cause = error.to_string();
        Event::Unpublished { ca, cause, hours_left }.log(self.runtime, None);
    }
}

fn hours(from: Timestamp, to: Timestamp) -> u64 {
    to.unix().saturating_sub(from.unix()) / 3600
}
