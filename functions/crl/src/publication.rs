//! The publication of one CA's CRL: number, content, signature, bucket, record.

use bytes::Bytes;
use lambda::Result;
use ledger::{
    bucket::Bucket,
    kms::Signer,
    store::{PublishedCrl, Store},
};
use pki::{
    authority::Authority,
    clock::Timestamp,
    crl::{self, Contents, VerifiedCrl},
};

use crate::{
    crl_content::CrlContent,
    deny_list::DenyList,
    objects,
    published::{Published, PublishedDenyList},
};

/// The age in seconds at which a CRL is published again even if its content is the same. CRLs are valid
/// for much longer, so publishing may fail for days before one expires.
const REFRESH_SECONDS: u64 = 12 * 60 * 60;
/// Attempts to publish a CRL while other publishers replace what it is built on.
const ATTEMPTS: u32 = 20;

/// The publication of the CRL of one CA.
pub(crate) struct Publication<'a> {
    pub(crate) store: &'a Store,
    pub(crate) bucket: &'a Bucket,
    pub(crate) kms: &'a aws_sdk_kms::Client,
    pub(crate) ca: &'a Authority,
    pub(crate) now: Timestamp,
}

/// The CRL that is in the bucket.
pub(crate) struct Outcome {
    pub(crate) crl: PublishedCrl,
    /// The damaged items and files that were found, and the reasons.
    pub(crate) damaged: Vec<String>,
}

impl Publication<'_> {
    /// Returns the CRL in the bucket if all is well: it is intact and not old, its content and all its forms
    /// are current, and no other publisher is at work. A number that was taken but is not in the bucket means
    /// that another publisher may be about to replace this CRL.
    pub(crate) async fn current(&self) -> Result<Option<Outcome>> {
        let name = self.ca.name().as_str();
        let published = Published::read(self.bucket, self.ca).await?;
        let recorded = self.store.crl_state(name).await?.published;
        let (Some(crl), Some(recorded)) = (&published.crl, recorded) else {
            return Ok(None);
        };
        let is_old = self.now >= recorded.at.plus(REFRESH_SECONDS);
        if is_old || recorded.number != crl.number() || !self.has_all_forms(crl.number()).await? {
            return Ok(None);
        }
        let content = CrlContent::read(self.store, self.ca, &published, self.now).await?;
        // After reading the ledger: a publisher that takes a number from now on reads it later than this.
        let reserved = self.store.crl_state(name).await?.reserved;
        if reserved != crl.number() || !content.is_published(&published) {
            return Ok(None);
        }
        Ok(Some(Outcome { crl: recorded, damaged: content.damaged }))
    }

    /// Publishes a new CRL. Returns the CRL that is then in the bucket: this one, or a newer one of
    /// another publisher with the same content.
    pub(crate) async fn publish(&self) -> Result<Outcome> {
        let (mut first_number, mut last_number) = (None, None);
        for _ in 0..ATTEMPTS {
            let published = Published::read(self.bucket, self.ca).await?;
            // Its publisher read the ledger after this one took its first number.
            if let (Some(crl), Some(first)) = (&published.crl, first_number)
                && crl.number() > first
                // If the response to the last attempt was lost, it is its own, without the other forms.
                && Some(crl.number()) != last_number
            {
                let content = CrlContent::read(self.store, self.ca, &published, self.now).await?;
                if content.is_published(&published) {
                    // Its publisher publishes the other forms too.
                    let crl = self.record_of(crl);
                    return Ok(Outcome { crl, damaged: content.damaged });
                }
            }
            let name = self.ca.name().as_str();
            // 1. Take a number, before reading the ledger, and above the one in the bucket. That may be higher
            // than the table's after the table was restored from a backup.
            let above = published.crl.as_ref().map_or(0, VerifiedCrl::number);
            let number = self.store.reserve_crl_number(name, above, self.now).await?;
            if let Some(outcome) = self.try_publish(number, published).await? {
                return Ok(outcome);
            }
            first_number.get_or_insert(number);
            last_number = Some(number);
        }
        Err(ledger::Error::Contended.into())
    }

    /// Tries to replace what was `published` by a CRL with this number. Returns `None` if another publisher
    /// replaced it first: then the CRL was not built on what is published now, and might know less.
    async fn try_publish(&self, number: u64, published: Published) -> Result<Option<Outcome>> {
        let name = self.ca.name().as_str();
        let mut damaged = self.compare_with_record(&published).await?;

        // 2. Read the content, and publish the deny list under its digest, which the CRL contains.
        let mut content = CrlContent::read(self.store, self.ca, &published, self.now).await?;
        let Published { crl: replaced, crl_version, deny_list, .. } = published;
        // Tens of megabytes that are not needed any more.
        drop(replaced);
        let digest = content.digest()?;
        damaged.append(&mut content.damaged);
        if let Some(denied) = &content.denied {
            let name = denied.digest_hex();
            let object = objects::denied_devices_by_digest(&name, denied.text.clone());
            self.bucket.put(&object, &name).await?;
        }

        // 3. Sign, verify and publish the CRL.
        let crl = self.sign(number, &content, None).await?;
        let record = self.record_of(&crl);
        let der = Bytes::from(crl.into_der());
        let object = objects::crl(name, der.clone());
        if !self.bucket.put_if(&object, Some(number), &digest, &crl_version).await? {
            return Ok(None);
        }

        // 4. Publish the other forms, with one form of a long CRL in memory at a time.
        let pem = crl::to_pem(&der)?;
        drop((object, der));
        self.bucket.put_newer(&objects::crl_pem(name, pem), number, &digest).await?;
        if let Some(url) = &self.ca.record().crl_url {
            let crl = self.sign(number, &content, Some(url)).await?;
            let der = Bytes::from(crl.into_der());
            let object = objects::crl_with_distribution_point(name, der);
            self.bucket.put_newer(&object, number, &digest).await?;
        }
        // The publication of another CA may have replaced the deny list since, on which this CRL is not built.
        if let (Some(denied), Some(published)) = (&content.denied, &deny_list)
            && !self.publish_deny_list(denied, published).await?
        {
            return Ok(None);
        }

        // 5. Record the publication, last: without a record, the next invocation publishes again.
        self.store.record_published_crl(name, &record).await?;
        Ok(Some(Outcome { crl: record, damaged }))
    }

    /// Publishes the deny list under the fixed keys. Returns false if another publisher replaced the one on which
    /// it is built.
    async fn publish_deny_list(
        &self,
        denied: &DenyList,
        published: &PublishedDenyList,
    ) -> Result<bool> {
        let digest = denied.digest_hex();
        if published.digest == Some(denied.digest) {
            let stored = self.bucket.head(objects::DENIED_DEVICES).await?;
            if stored.is_none_or(|stored| stored.version != published.version) {
                return Ok(false);
            }
        } else {
            let object = objects::denied_devices(denied.text.clone());
            if !self.bucket.put_if(&object, None, &digest, &published.version).await? {
                return Ok(false);
            }
        }
        if published.rules_digest == digest {
            return Ok(true);
        }
        let rules = objects::mosquitto_rules(denied.mosquitto_rules());
        Ok(self.bucket.put_if(&rules, None, &digest, &published.rules_version).await?)
    }

    /// Returns true if the other forms of the CRL with this number are in the bucket.
    async fn has_all_forms(&self, number: u64) -> Result<bool> {
        let name = self.ca.name().as_str();
        let mut keys = vec![objects::crl_pem_key(name)];
        if self.ca.record().crl_url.is_some() {
            keys.push(objects::crl_with_distribution_point_key(name));
        }
        for key in keys {
            if self.bucket.head(&key).await?.is_none_or(|stored| stored.number != number) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Compares the CRL in the bucket with the last one on record, which cannot be newer. Returns the fault, if
    /// there is one.
    async fn compare_with_record(&self, published: &Published) -> Result<Vec<String>> {
        let name = self.ca.name().as_str();
        let state = self.store.crl_state(name).await?;
        let key = objects::crl_key(name);
        Ok(match (&published.crl, state.published) {
            (Some(crl), Some(recorded)) if crl.number() < recorded.number => {
                vec![format!("{key}: replaced by the older CRL {}", crl.number())]
            }
            // If the object is there, the reason why it cannot be read is known.
            (None, Some(_)) if published.crl_version == ledger::bucket::Version::default() => {
                vec![format!("{key}: missing, although it was published")]
            }
            _ => Vec::new(),
        })
    }

    fn record_of(&self, crl: &VerifiedCrl) -> PublishedCrl {
        PublishedCrl {
            number: crl.number(),
            at: self.now,
            next_update: crl.next_update(),
            entries: crl.len() as u64,
            bytes: crl.der().len() as u64,
        }
    }

    /// Builds a CRL, records its digest, has KMS sign it, and verifies it as every client will.
    async fn sign(
        &self,
        number: u64,
        content: &CrlContent,
        distribution_point: Option<&str>,
    ) -> Result<VerifiedCrl> {
        let certificate = self.ca.certificate();
        let contents = Contents {
            number,
            this_update: self.now.minus(crl::BACKDATED_SECONDS),
            next_update: self.now.plus(crl::VALIDITY_SECONDS),
            revoked: &content.revoked,
            denied_devices: content.denied.as_ref().map(|denied| denied.digest),
            distribution_point,
        };
        let linted = crl::lint(crl::build(certificate, contents)?).map_err(pki::Error::from)?;
        let name = self.ca.name().as_str();
        let recorded = self.store.record_crl_digest(name, number, linted, self.now).await?;
        let signer = Signer::new(self.kms.clone(), self.ca.key_arn());
        Ok(signer.sign_crl(recorded).await?.verify(certificate)?)
    }
}
