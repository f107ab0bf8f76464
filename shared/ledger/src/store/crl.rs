//! What the publisher of CRLs keeps: which number is next, what was signed and published, and what was
//! asked for.

use aws_sdk_dynamodb::types::ReturnValue;
use pki::{clock::Timestamp, crl::LintedCrl, hex};
use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Result},
    store::{
        client::Store,
        item::{ItemError, item, key, number, record, string},
        layout::{self, META},
        write::is_condition_failure,
    },
};

/// The partition of requests, whose sort keys are the CAs' names. The stream's filter lets nothing
/// else through to the publisher (template.yaml), so that its own writes do not call it again.
/// How often a number is asked for against other publishers.
const ATTEMPTS: u32 = 20;

/// How far the lists of a CA are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrlState {
    /// The last number that a publisher was given, whether or not a list came of it.
    #[serde(default)]
    pub reserved: u64,
    /// How many of the requests have been answered.
    #[serde(default)]
    pub answered: u64,
    /// The last list that was published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published: Option<PublishedCrl>,
}

/// A list that was published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedCrl {
    /// Its number.
    pub number: u64,
    /// When it was published.
    pub at: Timestamp,
    /// Until when it is valid.
    pub next_update: Timestamp,
    /// How many certificates it revokes.
    pub entries: u64,
    /// How many octets its DER has.
    pub bytes: u64,
}

/// A list whose digest is in the table. Of a CA with its key in KMS only this can be signed, and only
/// the store makes it.
pub struct RecordedCrl(LintedCrl);

impl RecordedCrl {
    pub(crate) fn into_linted(self) -> LintedCrl {
        self.0
    }
}

/// The item of a list that is signed.
#[derive(Serialize)]
struct Signing {
    tbs_digest: String,
    requested_at: Timestamp,
}

/// The item that asks for lists of a CA.
#[derive(Deserialize)]
struct Requests {
    #[serde(rename = "SK")]
    ca: String,
    /// How often it was asked. Besides, two requests in one second are two changes, both of which are
    /// in the stream.
    count: u64,
}

impl Store {
    /// How far the lists of `ca` are.
    ///
    /// # Errors
    /// When the store is away.
    pub async fn crl_state(&self, ca: &str) -> Result<CrlState> {
        Ok(self.get(layout::crl(ca), META.into()).await?.unwrap_or_default())
    }

    /// A number for a list of `ca` that nobody else was or will be given, higher than `above` and than
    /// all before. Whoever reads the ledger after this, for the list of this number, reads all that
    /// those of lower numbers did.
    ///
    /// It is the time, `now`, unless that is too low: so it is above what verifiers have seen even where
    /// the table came from a backup and the bucket is lost.
    ///
    /// # Errors
    /// When other publishers keep coming first, or the store is away.
    pub async fn reserve_crl_number(&self, ca: &str, above: u64, now: Timestamp) -> Result<u64> {
        for _ in 0..ATTEMPTS {
            let last = self.crl_state(ca).await?.reserved.max(above);
            let next = now.unix().max(last + 1);
            let answer = self
                .client
                .update_item()
                .table_name(&self.table)
                .set_key(Some(key(layout::crl(ca), META.into())))
                .update_expression("SET reserved = :next")
                .condition_expression("attribute_not_exists(reserved) OR reserved < :next")
                .expression_attribute_values(":next", number(next))
                .send()
                .await;
            match answer {
                Ok(_) => return Ok(next),
                // Or the answer to this very write was lost: then the number stays unused.
                Err(error) if is_condition_failure(&error) => {}
                Err(error) => return Err(self.unavailable(&error)),
            }
        }
        Err(Error::Contended)
    }

    /// Puts the digest of a list on record before it is signed: every signature of a CA's key is
    /// accounted for, as on the ledger.
    ///
    /// # Errors
    /// When the store is away.
    pub async fn record_crl_digest(
        &self,
        ca: &str,
        crl_number: u64,
        linted: LintedCrl,
        now: Timestamp,
    ) -> Result<RecordedCrl> {
        let tbs_digest = hex(linted.digest());
        // In the order of the numbers. One number may have a second list, with its address in it.
        let sort = format!("LIST#{crl_number:020}#{tbs_digest}");
        let signing = Signing { tbs_digest, requested_at: now };
        let item = item(layout::crl(ca), sort, &signing)?;
        let put = self.client.put_item().table_name(&self.table).set_item(Some(item));
        put.send().await.map_err(|error| self.unavailable(&error))?;
        Ok(RecordedCrl(linted))
    }

    /// Records that a list of `ca` was published, unless a newer one was.
    ///
    /// # Errors
    /// When the store is away.
    pub async fn record_crl(&self, ca: &str, published: &PublishedCrl) -> Result<()> {
        let map = serde_dynamo::to_attribute_value(published)
            .map_err(|cause| ItemError { item: layout::crl(ca), cause })?;
        let update = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key(layout::crl(ca), META.into())))
            .update_expression("SET published = :published")
            .condition_expression("attribute_not_exists(published) OR published.#number < :number")
            .expression_attribute_names("#number", "number")
            .expression_attribute_values(":published", map)
            .expression_attribute_values(":number", number(published.number));
        match update.send().await {
            Err(error) if !is_condition_failure(&error) => Err(self.unavailable(&error)),
            _ => Ok(()),
        }
    }

    /// Records that what was asked for `count` times is in what is published, unless more is.
    ///
    /// # Errors
    /// When the store is away.
    pub async fn answer_crl_requests(&self, ca: &str, count: u64) -> Result<()> {
        let update = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key(layout::crl(ca), META.into())))
            .update_expression("SET answered = :count")
            .condition_expression("attribute_not_exists(answered) OR answered < :count")
            .expression_attribute_values(":count", number(count));
        match update.send().await {
            Err(error) if !is_condition_failure(&error) => Err(self.unavailable(&error)),
            _ => Ok(()),
        }
    }

    /// Asks the publisher for a new list of `ca`. Returns how often it was asked for by now: the list
    /// is there when as many requests are answered ([`CrlState::answered`]).
    ///
    /// # Errors
    /// When the store is away.
    pub async fn request_crl(&self, ca: &str, now: Timestamp) -> Result<u64> {
        let answer = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key(layout::CRL_REQUESTS.into(), ca.into())))
            .update_expression("SET requested_at = :now ADD #count :one")
            .expression_attribute_names("#count", "count")
            .expression_attribute_values(":now", number(now.unix()))
            .expression_attribute_values(":one", number(1))
            .return_values(ReturnValue::AllNew)
            .send()
            .await
            .map_err(|error| self.unavailable(&error))?;
        Ok(record::<Requests>(answer.attributes.unwrap_or_default())?.count)
    }

    /// How often new lists were asked for, of each CA of which that happened.
    ///
    /// # Errors
    /// When the store is away.
    pub async fn crl_requests(&self) -> Result<Vec<(String, u64)>> {
        let query = self
            .client
            .query()
            .consistent_read(true)
            .key_condition_expression("PK = :requests")
            .expression_attribute_values(":requests", string(layout::CRL_REQUESTS));
        let request = |item| {
            let Requests { ca, count } = record(item)?;
            Ok(Some((ca, count)))
        };
        self.every_page(query, request).await
    }
}
