//! Asking the publisher for new lists, by whatever changes what is in them.

use std::{cell::Cell, time::Duration};

use anyhow::Context as _;
use ledger::store::KnownAuthority;
use pki::{authority::AuthorityName, clock::Timestamp, profile::Usage};
use tokio::time::Instant;

use crate::Context;

/// While many devices are revoked, the first of them need not wait for the last.
const INTERVAL: Duration = Duration::from_secs(5);

/// For an operator whose change is done, when the publisher could not be told.
const LATE: &str = "it is on record, but no new CRL could be asked for: it comes within the hour, or run \
                    birthcert crl publish";

/// Requests for the lists of the CAs of one usage.
pub(crate) struct Requests<'a> {
    context: &'a Context,
    usage: Usage,
    next: Cell<Instant>,
}

impl<'a> Requests<'a> {
    /// For what was issued for `usage`.
    pub(crate) fn of(context: &'a Context, usage: Usage) -> Self {
        Self { context, usage, next: Cell::new(Instant::now() + INTERVAL) }
    }

    /// Asks, once in a while, in the middle of many revocations. Whether it was heard shows at their end.
    pub(crate) async fn meanwhile(&self) {
        let now = Instant::now();
        if self.next.get() <= now {
            self.next.set(now + INTERVAL);
            let _ = self.ask().await;
        }
    }

    /// Asks, after the last write to the ledger, also where nothing changed any more: the one who changed
    /// it may have been interrupted before this.
    ///
    /// # Errors
    /// When the store is away.
    pub(crate) async fn ask(&self) -> anyhow::Result<()> {
        for KnownAuthority { record, .. } in self.context.store.authorities().await.context(LATE)? {
            if record.name.usage() == self.usage {
                request(self.context, &record.name).await?;
            }
        }
        Ok(())
    }
}

/// Asks for a list of one CA, with which its certificate is published, and how all CAs stand: verifiers
/// learn of a new one by that.
///
/// # Errors
/// When the store is away.
pub(crate) async fn request(context: &Context, ca: &AuthorityName) -> anyhow::Result<()> {
    context.store.request_crl(ca.as_str(), Timestamp::now()).await.context(LATE).map(drop)
}
