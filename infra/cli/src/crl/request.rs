//! Requests for new CRLs, by commands that revoke certificates.

use std::{cell::Cell, time::Duration};

use anyhow::Context as _;
use ledger::store::AuthorityState;
use pki::{authority::AuthorityName, clock::Timestamp, profile::Usage};
use tokio::time::Instant;

use crate::context::Context;

/// Interval of requests during a bulk revocation, so that its first devices do not wait for its last.
const INTERVAL: Duration = Duration::from_secs(5);

/// Context of a failed request, after the change itself succeeded.
const RECORDED: &str = "the change is recorded, but requesting a CRL failed: one is published within the hour, \
                        or run birthcert crl publish";

/// Requests for the CRLs of the CAs of one usage.
pub(crate) struct CrlRequests<'a> {
    context: &'a Context,
    usage: Usage,
    next: Cell<Instant>,
}

impl<'a> CrlRequests<'a> {
    /// Creates requests for the CAs of `usage`.
    pub(crate) fn new(context: &'a Context, usage: Usage) -> Self {
        Self { context, usage, next: Cell::new(Instant::now() + INTERVAL) }
    }

    /// Sends requests at intervals during a bulk revocation. Ignores errors: the final [`send`](Self::send)
    /// reports them.
    pub(crate) async fn send_at_intervals(&self) {
        let now = Instant::now();
        if self.next.get() <= now {
            self.next.set(now + INTERVAL);
            let _ = self.send().await;
        }
    }

    /// Sends requests after the last write to the ledger, even if this run changed nothing: an earlier run
    /// may have been interrupted before its request.
    ///
    /// # Errors
    /// If DynamoDB is unavailable.
    pub(crate) async fn send(&self) -> anyhow::Result<()> {
        for AuthorityState { record, .. } in
            self.context.store.authorities().await.context(RECORDED)?
        {
            if record.name.usage() == self.usage {
                request(self.context, &record.name).await?;
            }
        }
        Ok(())
    }
}

/// Requests a CRL of one CA. The publisher also publishes the CA's certificate and the list of CAs, from
/// which verifiers learn of a new CA.
///
/// # Errors
/// If DynamoDB is unavailable.
pub(crate) async fn request(context: &Context, ca: &AuthorityName) -> anyhow::Result<()> {
    context.store.request_crl(ca.as_str(), Timestamp::now()).await.context(RECORDED).map(drop)
}
