//! Publishes what is revoked: for each CA its CRL, with it the list of denied devices, and the
//! certificates that those verify with.
//!
//! A request, which an operator's command writes into the table, calls it through the table's stream
//! within a second. It looks again some seconds later, because the index that it reads is behind the
//! table by a moment; and every hour, because superseded certificates come due without a request.
//!
//! Of two publishers at once, each has a number of its own from the table, taken *before* it read the
//! ledger: so a higher number knows all that a lower one does, and the bucket takes no lower one in the
//! place of a higher one.

mod catalogue;
mod content;
mod denied;
mod objects;
mod publish;

use std::time::Duration;

use birthcert::{
    Error, Result,
    audit::Event,
    authority::{Authority, Roots},
    bucket::Bucket,
    clock::Timestamp,
    config::Config,
    lambda,
    store::{KnownAuthority, Store},
    trigger::Trigger,
    world::World,
};

/// How long after a request it is looked again. The index is usually some tenths of a second behind.
const SETTLE: Duration = Duration::from_secs(3);

/// The function.
pub struct Crl {
    store: Store,
    kms: aws_sdk_kms::Client,
    bucket: Bucket,
    roots: Roots,
    world: World,
}

impl Crl {
    /// The function as `config` describes it. It looks at the table and at the bucket, which warms both
    /// connections.
    ///
    /// # Errors
    /// When the configuration, the table or the bucket cannot be used. An AWS that is only away is no
    /// reason not to start.
    pub async fn start(config: &Config, world: World) -> Result<Self> {
        let function = Self {
            bucket: Bucket::new(config.aws.s3()?, config.bucket_name()?),
            store: Store::new(config.aws.dynamodb()?, &config.table_name),
            kms: config.aws.kms()?,
            roots: config.roots.clone(),
            world,
        };
        let (table, bucket) =
            tokio::join!(function.store.crl_requests(), function.bucket.stored(objects::INDEX));
        lambda::unless_transient([table.map(drop), bucket.map(drop)], world)?;
        Ok(function)
    }

    /// Answers one event.
    ///
    /// # Errors
    /// When something was not published; all else was. The log says of each why.
    pub async fn handle(&self, trigger: Trigger) -> Result<()> {
        if self.pass(&trigger).await? {
            tokio::time::sleep(SETTLE).await;
            self.pass(&trigger).await?;
        }
        Ok(())
    }

    /// Looks at each CA once, and publishes what is due. Returns whether anybody had asked for it.
    ///
    /// # Errors
    /// As [`Crl::handle`].
    pub async fn pass(&self, trigger: &Trigger) -> Result<bool> {
        let outcome = self.look(trigger).await;
        if let Err(error) = &outcome
            && !matches!(error, Error::Unpublished(_))
        {
            Event::Unpublished { ca: "all", cause: error.to_string() }.log(self.world, None);
        }
        outcome
    }

    async fn look(&self, trigger: &Trigger) -> Result<bool> {
        let now = self.world.now();
        // Before anything is read: what was asked for until now is in what is published next.
        let requests = self.store.crl_requests().await?;
        let authorities = self.store.authorities().await?;
        let (mut failed, mut answered) = (Vec::new(), false);
        let mut fail = |what: &str, error: &Error| {
            Event::Unpublished { ca: what, cause: error.to_string() }.log(self.world, None);
            failed.push(what.to_owned());
        };
        for KnownAuthority { record, .. } in &authorities {
            let name = record.name.as_str();
            let is_meant = match trigger {
                Trigger::Changes(names) => names.contains(name),
                Trigger::Time => true,
            };
            let asked = requests.iter().find(|(ca, _)| ca == name).map_or(0, |(_, count)| *count);
            if !is_meant {
                continue;
            }
            match self.look_after(self.roots.admit(record.clone()), asked, now).await {
                Ok(was_asked) => answered |= was_asked,
                Err(error) => fail(name, &error),
            }
        }
        if let Err(error) = self.publish_catalogue(&authorities).await {
            fail(objects::INDEX, &error);
        }
        match failed.as_slice() {
            [] => Ok(answered),
            failed => Err(Error::Unpublished(failed.join(", "))),
        }
    }

    /// Publishes a CA's list if it is due, and whether it was asked for.
    async fn look_after(&self, ca: Result<Authority>, asked: u64, now: Timestamp) -> Result<bool> {
        let ca = ca?;
        // Nobody needs a list of what expired with its CA.
        if ca.certificate().not_after() < now {
            return Ok(false);
        }
        let name = ca.name().to_string();
        let is_asked = asked > self.store.crl_state(&name).await?.answered;
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
            hours_left: crl.next_update.unix().saturating_sub(now.unix()) / 3600,
        }
        .log(self.world, None);
        Ok(is_asked)
    }
}
