//! The publication of one CA's CRL: number, content, signature, bucket, record.

use bytes::Bytes;
use lambda::Result;
use ledger::{
    bucket::{Bucket, PutOutcome},
    kms::Signer,
    store::{PublishedCrl, Store},
};
use pki::{
    authority::Authority,
    clock::Timestamp,
    crl::{self, Contents, VerifiedCrl},
    profile::Usage,
};

use crate::{crl_content::CrlContent, objects};

/// The age in seconds at which a CRL is published again even if its content is the same. CRLs are valid
/// for much longer, so publishing may fail for days before one expires.
const REFRESH_SECONDS: u64 = 12 * 60 * 60;
/// The name under which the deny list has its numbers in the table. No CA has this name.
const DENY_LIST: &str = "denied";

/// The publication of the CRL of one CA.
pub(crate) struct Publication<'a> {
    pub(crate) store: &'a Store,
    pub(crate) bucket: &'a Bucket,
    pub(crate) kms: &'a aws_sdk_kms::Client,
    pub(crate) ca: &'a Authority,
    pub(crate) now: Timestamp,
}

impl Publication<'_> {
    /// Returns the CRL in the bucket if it is still good: its content is current, it is not old, and no
    /// other publisher is at work. A number that was taken but is not in the bucket means that another
    /// publisher may be about to replace this CRL by content that it read earlier.
    pub(crate) async fn current(&self) -> Result<Option<PublishedCrl>> {
        let name = self.ca.name().as_str();
        let stored = self.bucket.head(&objects::crl_key(name)).await?;
        let published = self.store.crl_state(name).await?.published;
        let (Some(stored), Some(published)) = (stored, published) else {
            return Ok(None);
        };
        let is_old = self.now >= published.at.plus(REFRESH_SECONDS);
        if is_old || published.number != stored.number {
            return Ok(None);
        }
        let content = CrlContent::read(self.store, self.ca, self.now).await?;
        // After reading the ledger: a publisher that takes a number from now on reads it later than this.
        let reserved = self.store.crl_state(name).await?.reserved;
        let is_same = stored.content == content.digest()? && reserved == stored.number;
        Ok(is_same.then_some(published))
    }

    /// Publishes a new CRL. Returns the CRL that is then in the bucket: this one, or a newer one of
    /// another publisher.
    pub(crate) async fn publish(&self) -> Result<PublishedCrl> {
        let name = self.ca.name().as_str();

        // 1. Take a number, before reading the ledger.
        let number = self.reserve_number(name, &objects::crl_key(name)).await?;
        let deny_list_number = match self.ca.name().usage() {
            Usage::Device => self.reserve_number(DENY_LIST, objects::DENIED_DEVICES).await?,
            Usage::Server | Usage::Service => 0,
        };

        // 2. Read the content. The deny list goes first, because the CRL contains its digest.
        let content = CrlContent::read(self.store, self.ca, self.now).await?;
        let digest = content.digest()?;
        if let Some(denied) = &content.denied {
            let name = denied.digest_hex();
            let object = objects::denied_devices_by_digest(&name, denied.text.clone());
            self.bucket.put(&object, &name).await?;
        }

        // 3. Sign, verify and publish the CRL.
        let crl = self.sign(number, &content, None).await?;
        let published = PublishedCrl {
            number,
            at: self.now,
            next_update: crl.next_update(),
            entries: crl.len() as u64,
            bytes: crl.der().len() as u64,
        };
        let der = Bytes::from(crl.into_der());
        let object = objects::crl(name, der.clone());
        if let PutOutcome::Newer(newer) = self.bucket.put_newer(&object, number, &digest).await? {
            // The publisher with that number read the ledger later, and publishes the other forms too.
            return Ok(PublishedCrl { number: newer, ..published });
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
        if let Some(denied) = &content.denied {
            for object in [
                objects::denied_devices(denied.text.clone()),
                objects::mosquitto_rules(denied.mosquitto_rules()),
            ] {
                self.bucket.put_newer(&object, deny_list_number, &denied.digest_hex()).await?;
            }
        }

        // 5. Record the publication, last: without a record, the next invocation publishes again.
        self.store.record_published_crl(name, &published).await?;
        Ok(published)
    }

    /// Takes a number above every number of `name` and above the number of the object at `key`. The
    /// bucket's number may be higher than the table's after the table was restored from a backup.
    async fn reserve_number(&self, name: &str, key: &str) -> Result<u64> {
        let in_bucket = self.bucket.head(key).await?.map_or(0, |stored| stored.number);
        Ok(self.store.reserve_crl_number(name, in_bucket, self.now).await?)
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
