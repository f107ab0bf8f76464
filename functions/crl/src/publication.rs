//! One CA's list, from its number to the bucket.

use bytes::Bytes;
use lambda::Result;
use ledger::{bucket::Put, kms::Signer, store::PublishedCrl};
use pki::{
    authority::Authority,
    clock::Timestamp,
    crl::{self, Contents, VerifiedCrl},
    profile::Usage,
};

use crate::{Publisher, crl_content::Content, objects};

/// A list is published anew after so long, in seconds, even if it says the same: well before it expires,
/// so that a publisher may be out of order for days before anybody notices.
pub(crate) const REFRESH_SECONDS: u64 = 12 * 60 * 60;
/// What the list of denied devices has its numbers under. No CA has this name.
const DENIED: &str = "denied";

impl Publisher {
    /// What is published for `ca`, if it says what it should, is not old, and nobody is about to replace
    /// it by what they read before: a number that was taken and is not in the bucket.
    pub(crate) async fn unchanged(
        &self,
        ca: &Authority,
        now: Timestamp,
    ) -> Result<Option<PublishedCrl>> {
        let stored = self.bucket.stored(&objects::crl_key(ca.name().as_str())).await?;
        let published = self.store.crl_state(ca.name().as_str()).await?.published;
        let (Some(stored), Some(published)) = (stored, published) else {
            return Ok(None);
        };
        let is_old = now >= published.at.plus(REFRESH_SECONDS);
        if is_old || published.number != stored.number {
            return Ok(None);
        }
        let content = self.read(ca, now).await?;
        // After the ledger was read: who takes a number from now on reads it later than this.
        let reserved = self.store.crl_state(ca.name().as_str()).await?.reserved;
        let is_same = stored.content == content.digest()? && reserved == stored.number;
        Ok(is_same.then_some(published))
    }

    /// Publishes the list of `ca`. Returns what is in the bucket then: this one, or one that is newer.
    pub(crate) async fn publish(&self, ca: &Authority, now: Timestamp) -> Result<PublishedCrl> {
        // 1. A number, before the ledger is read; above what is in the bucket, should the table have
        //    been restored from a backup.
        let number =
            self.number(ca.name().as_str(), &objects::crl_key(ca.name().as_str()), now).await?;
        let denied_number = match ca.name().usage() {
            Usage::Device => self.number(DENIED, objects::DENIED_DEVICES, now).await?,
            Usage::Server | Usage::Service => 0,
        };

        // 2. What it says; the denied devices are put first, because the list names them.
        let content = self.read(ca, now).await?;
        let digest = content.digest()?;
        if let Some(denied) = &content.denied {
            let name = denied.name();
            self.bucket.put(&objects::denied(&name, denied.file.clone()), &name).await?;
        }

        // 3. Signed, verified, published.
        let crl = self.sign(ca, number, &content, now, None).await?;
        let published = PublishedCrl {
            number,
            at: now,
            next_update: crl.next_update(),
            entries: crl.len() as u64,
            bytes: crl.der().len() as u64,
        };
        let der = Bytes::from(crl.into_der());
        let object = objects::crl(ca.name().as_str(), der.clone());
        if let Put::Newer(newer) = self.bucket.put_newer(&object, number, &digest).await? {
            // Whoever took that number read the ledger later, and publishes the rest too.
            return Ok(PublishedCrl { number: newer, ..published });
        }

        // 4. The same in other forms, of which a long list has one in memory at a time.
        let pem = crl::to_pem(&der)?;
        drop((object, der));
        self.bucket.put_newer(&objects::crl_pem(ca.name().as_str(), pem), number, &digest).await?;
        if let Some(url) = &ca.record().crl_url {
            let crl = self.sign(ca, number, &content, now, Some(url)).await?;
            let der = Bytes::from(crl.into_der());
            let object = objects::crl_with_address(ca.name().as_str(), der);
            self.bucket.put_newer(&object, number, &digest).await?;
        }
        if let Some(denied) = &content.denied {
            for object in [
                objects::denied_devices(denied.file.clone()),
                objects::denied_rules(denied.rules()),
            ] {
                self.bucket.put_newer(&object, denied_number, &denied.name()).await?;
            }
        }

        // 5. Last, so that what was not finished is done again.
        self.store.record_crl(ca.name().as_str(), &published).await?;
        Ok(published)
    }

    /// A number above all that `what` had, and above the one of the object under `key`.
    async fn number(&self, what: &str, key: &str, now: Timestamp) -> Result<u64> {
        let above = self.bucket.stored(key).await?.map_or(0, |stored| stored.number);
        Ok(self.store.reserve_crl_number(what, above, now).await?)
    }

    /// Builds a list, puts it on record, has it signed, and checks it as everybody will who fetches it.
    async fn sign(
        &self,
        ca: &Authority,
        number: u64,
        content: &Content,
        now: Timestamp,
        distribution_point: Option<&str>,
    ) -> Result<VerifiedCrl> {
        let contents = Contents {
            number,
            this_update: now.minus(crl::BACKDATED_SECONDS),
            next_update: now.plus(crl::VALIDITY_SECONDS),
            revoked: &content.revoked,
            denied_devices: content.denied.as_ref().map(|denied| denied.digest),
            distribution_point,
        };
        let linted =
            crl::lint(crl::build(ca.certificate(), contents)?).map_err(pki::Error::from)?;
        let recorded =
            self.store.record_crl_digest(ca.name().as_str(), number, linted, now).await?;
        let signer = Signer::new(self.kms.clone(), ca.key_arn());
        Ok(signer.sign_crl(recorded).await?.verify(ca.certificate())?)
    }
}
