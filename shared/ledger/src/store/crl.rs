//! State of CRL publication: reserved numbers, signed digests, the last published CRL, and requests for new
//! ones.

use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure};
use pki::{clock::Timestamp, crl::LintedCrl, hex};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    error::{Error, IssuerFault, ItemError, Result},
    store::{
        client::Store,
        condition::is_condition_failure,
        item::{Item, attribute, key, number, required, string, to_item},
        layout::{self, META},
    },
};

/// Attempts to reserve a number against other publishers.
const ATTEMPTS: u32 = 20;

/// The highest CRL number that counts as reserved, unless the published CRL has a higher one: the last second
/// of the year 9999. No clock reserves a number beyond it, but a damaged item may have one.
const HIGHEST: u64 = Timestamp::NEVER.unix();

/// The state of a CA's CRLs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CrlState {
    /// The last reserved number, whether or not a CRL with it was published.
    pub reserved: u64,
    /// Number of requests that the published CRL answers.
    pub answered: u64,
    /// The last published CRL.
    pub published: Option<PublishedCrl>,
}

/// A published CRL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedCrl {
    /// The CRL number.
    pub number: u64,
    /// Time of publication.
    pub at: Timestamp,
    /// Time by which the next CRL is due (RFC 5280, section 5.1.2.5).
    pub next_update: Timestamp,
    /// Number of entries.
    pub entries: u64,
    /// Size of the DER, in bytes.
    pub bytes: u64,
}

/// A CRL whose digest is recorded. The signer accepts no other CRL, and only [`Store::record_crl_digest`]
/// creates one.
pub struct RecordedCrl(LintedCrl);

impl RecordedCrl {
    /// Releases the CRL to the signer.
    pub(crate) fn into_linted(self) -> LintedCrl {
        self.0
    }
}

/// The item that records the digest of a CRL.
#[derive(Serialize)]
struct Signing {
    tbs_digest: String,
    requested_at: Timestamp,
}

impl Store {
    /// Returns the state of the CRLs of `ca`. A damaged attribute counts as absent: it must not stop the CA's
    /// CRLs, and the next publication replaces it.
    ///
    /// # Errors
    /// If DynamoDB is unavailable.
    pub async fn crl_state(&self, ca: &str) -> Result<CrlState> {
        let item = self.get_item(layout::crl(ca), META.into()).await?.unwrap_or_default();
        Ok(CrlState {
            reserved: intact(&item, "reserved").unwrap_or_default(),
            answered: intact(&item, "answered").unwrap_or_default(),
            published: intact(&item, "published"),
        })
    }

    /// Returns how many requests the published CRL of `ca` answers, of which the caller knows `requests`. A number
    /// above that of all requests is damaged and counts as zero, because no request would be answered any more.
    ///
    /// # Errors
    /// If DynamoDB is unavailable.
    pub async fn answered_crl_requests(&self, ca: &str, requests: u64) -> Result<u64> {
        let answered = self.crl_state(ca).await?.answered;
        // The number of all requests is read last: it only rises.
        Ok(match answered <= requests || answered <= self.crl_request_count(ca).await? {
            true => answered,
            false => 0,
        })
    }

    /// Reserves a unique number for a CRL of `ca`, higher than `above` and than all numbers before.
    ///
    /// A publisher that reads the ledger after this call sees everything that the publishers with lower
    /// numbers saw.
    ///
    /// The number is the Unix time `now`, unless that is too low. It is therefore higher than what
    /// verifiers have seen even if the table was restored from a backup and the bucket is lost.
    ///
    /// A number that no clock can have reserved, and that the published CRL does not have, was damaged. It is
    /// replaced, because the numbers would end with it.
    ///
    /// # Errors
    /// If there is no higher number, other publishers reserve a number in every attempt, or DynamoDB is
    /// unavailable.
    pub async fn reserve_crl_number(&self, ca: &str, above: u64, now: Timestamp) -> Result<u64> {
        for _ in 0..ATTEMPTS {
            let item = self.get_item(layout::crl(ca), META.into()).await?.unwrap_or_default();
            let reserved = item.get("reserved");
            let last = intact::<u64>(&item, "reserved").filter(|last| *last <= HIGHEST.max(above));
            let next = match last.unwrap_or_default().max(above).checked_add(1) {
                Some(next) => next.max(now.unix()),
                None => {
                    let (name, fault) = (ca.to_owned(), IssuerFault::CrlNumbersExhausted);
                    return Err(Error::Issuer { name, fault });
                }
            };
            let update = self
                .client
                .update_item()
                .table_name(&self.table)
                .set_key(Some(key(layout::crl(ca), META.into())))
                .update_expression("SET reserved = :next")
                .expression_attribute_values(":next", number(next));
            let update = match (reserved, last) {
                (Some(damaged), None) => update
                    .condition_expression("reserved = :damaged")
                    .expression_attribute_values(":damaged", damaged.clone()),
                _ => update
                    .condition_expression("attribute_not_exists(reserved) OR reserved < :next"),
            };
            match update.send().await {
                Ok(_) => return Ok(next),
                // If only the response was lost, this number stays unused.
                Err(error) if is_condition_failure(&error) => {}
                Err(error) => return Err(self.unavailable(&error)),
            }
        }
        Err(Error::Contended)
    }

    /// Records the digest of a CRL before it is signed, so that every signature by a CA's key is accounted
    /// for.
    ///
    /// # Errors
    /// If DynamoDB is unavailable.
    pub async fn record_crl_digest(
        &self,
        ca: &str,
        crl_number: u64,
        linted: LintedCrl,
        now: Timestamp,
    ) -> Result<RecordedCrl> {
        let tbs_digest = hex(linted.digest());
        let sort = layout::signed_crl_sort_key(crl_number, &tbs_digest);
        let signing = Signing { tbs_digest, requested_at: now };
        let item = to_item(layout::crl(ca), sort, &signing)?;
        let put = self.client.put_item().table_name(&self.table).set_item(Some(item));
        put.send().await.map_err(|error| self.unavailable(&error))?;
        Ok(RecordedCrl(linted))
    }

    /// Records that a CRL of `ca` was published, unless a newer one was. A number above every reserved one is
    /// damaged, and is replaced.
    ///
    /// # Errors
    /// If DynamoDB is unavailable.
    pub async fn record_published_crl(&self, ca: &str, published: &PublishedCrl) -> Result<()> {
        let map = serde_dynamo::to_attribute_value(published)
            .map_err(|cause| ItemError { keys: layout::crl(ca), cause })?;
        let update = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key(layout::crl(ca), META.into())))
            .update_expression("SET published = :published")
            .condition_expression(
                "NOT attribute_type(published.#number, :type) OR published.#number < :number \
                 OR published.#number > reserved",
            )
            .expression_attribute_names("#number", "number")
            .expression_attribute_values(":type", string("N"))
            .expression_attribute_values(":published", map)
            .expression_attribute_values(":number", number(published.number));
        match update.send().await {
            Err(error) if !is_condition_failure(&error) => Err(self.unavailable(&error)),
            _ => Ok(()),
        }
    }

    /// Records that the published CRL answers the first `count` requests, unless it answers more. A number above that
    /// of all requests is damaged, and is replaced.
    ///
    /// # Errors
    /// If DynamoDB is unavailable.
    pub async fn mark_crl_requests_answered(&self, ca: &str, count: u64) -> Result<()> {
        let (condition, none) = ("NOT attribute_type(answered, :last) OR answered < :count", "N");
        let Err(last) = self.answer_crl_requests(ca, count, condition, string(none)).await? else {
            return Ok(());
        };
        let Some(last) = last.and_then(|item| item.get("answered").cloned()) else { return Ok(()) };
        if self.answered_crl_requests(ca, count).await? < count {
            // On the condition that it is still the damaged number, so that a late repetition lowers no other one.
            let _ = self.answer_crl_requests(ca, count, "answered = :last", last).await?;
        }
        Ok(())
    }

    /// Records that `count` requests are answered. Returns the item if the condition on `:last` and `:count` does not
    /// hold.
    async fn answer_crl_requests(
        &self,
        ca: &str,
        count: u64,
        condition: &str,
        last: AttributeValue,
    ) -> Result<std::result::Result<(), Option<Item>>> {
        let update = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key(layout::crl(ca), META.into())))
            .update_expression("SET answered = :count")
            .condition_expression(condition)
            .expression_attribute_values(":last", last)
            .expression_attribute_values(":count", number(count))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        match update.send().await {
            Ok(_) => Ok(Ok(())),
            Err(error) => self.conflicting_item(&error).map(Err),
        }
    }

    /// Returns the number of requests for CRLs of `ca`. A damaged number counts as zero.
    async fn crl_request_count(&self, ca: &str) -> Result<u64> {
        let item = self.get_item(layout::CRL_REQUESTS.into(), ca.into()).await?;
        Ok(item.and_then(|item| intact(&item, "count")).unwrap_or_default())
    }

    /// Requests a new CRL of `ca` from the publisher. Returns the number of requests so far: the CRL is
    /// published when that many are answered ([`CrlState::answered`]).
    ///
    /// # Errors
    /// If DynamoDB is unavailable.
    pub async fn request_crl(&self, ca: &str, now: Timestamp) -> Result<u64> {
        let answer = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key(layout::CRL_REQUESTS.into(), ca.into())))
            // The count also makes two requests in one second two changes, so that both are in the stream.
            .update_expression("SET requested_at = :now ADD #count :one")
            .expression_attribute_names("#count", "count")
            .expression_attribute_values(":now", number(now.unix()))
            .expression_attribute_values(":one", number(1))
            .return_values(ReturnValue::AllNew)
            .send()
            .await
            .map_err(|error| self.unavailable(&error))?;
        required(&answer.attributes.unwrap_or_default(), "count")
    }

    /// Returns the number of requests for each CA that has any. A damaged number counts as zero: the schedule
    /// publishes what is due without a request.
    ///
    /// # Errors
    /// If DynamoDB is unavailable.
    pub async fn crl_requests(&self) -> Result<Vec<(String, u64)>> {
        let query = self
            .client
            .query()
            .consistent_read(true)
            .key_condition_expression("PK = :requests")
            .expression_attribute_values(":requests", string(layout::CRL_REQUESTS));
        let mut requests = Vec::new();
        self.visit_pages(query, |item| {
            if let Ok(ca) = required::<String>(&item, "SK") {
                requests.push((ca, intact(&item, "count").unwrap_or_default()));
            }
        })
        .await?;
        Ok(requests)
    }
}

/// Returns the attribute `name` of an item, unless it is absent or damaged.
fn intact<T: Serialize + DeserializeOwned>(item: &Item, name: &str) -> Option<T> {
    attribute(item, name).ok().flatten()
}
