//! Downloads in progress. Each runs in a task of its own, so that a slow one delays no other.

use std::{collections::BTreeSet, mem, panic, sync::Arc, time::Instant};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use tokio::{
    select,
    sync::Semaphore,
    task::{JoinError, JoinHandle},
    time::sleep_until,
};

use super::{
    deny_list::{self, Digest},
    source::{Fetched, Request, Source},
};

/// Each CRL may use much memory.
const MAX_CONCURRENT_CRLS: usize = 4;

/// The use of a requested document. A CA is identified by its name in the index.
pub(crate) enum Purpose {
    Index,
    Chain(String),
    Crl(String),
}

/// The outcome of a download.
pub(crate) enum TransferResult {
    Document(Purpose, Request, anyhow::Result<Fetched>),
    /// The requested digests, and the deny lists in the same order.
    DenyLists(BTreeSet<Digest>, anyhow::Result<Vec<Vec<u8>>>),
}

pub(crate) struct Transfers {
    source: Source,
    crl_slots: Arc<Semaphore>,
    /// Downloads that [`Transfers::next`] waits for.
    prompt: FuturesUnordered<JoinHandle<TransferResult>>,
    /// Downloads that missed its deadline.
    late: FuturesUnordered<JoinHandle<TransferResult>>,
    /// A late download that has finished.
    finished: Option<TransferResult>,
}

impl Transfers {
    pub(crate) fn new(source: Source) -> Self {
        Self {
            source,
            crl_slots: Arc::new(Semaphore::new(MAX_CONCURRENT_CRLS)),
            prompt: FuturesUnordered::new(),
            late: FuturesUnordered::new(),
            finished: None,
        }
    }

    pub(crate) fn request(&self, purpose: Purpose, request: Request) {
        let (source, slots) = (self.source.clone(), Arc::clone(&self.crl_slots));
        self.prompt.push(tokio::spawn(async move {
            // The semaphore is never closed.
            let _slot = match purpose {
                Purpose::Crl(_) => slots.acquire().await.ok(),
                Purpose::Index | Purpose::Chain(_) => None,
            };
            let fetched = source.fetch(&request).await;
            TransferResult::Document(purpose, request, fetched)
        }));
    }

    pub(crate) fn request_deny_lists(&self, digests: BTreeSet<Digest>) {
        let source = self.source.clone();
        self.prompt.push(tokio::spawn(async move {
            let lists = fetch_deny_lists(&digests, &source).await;
            TransferResult::DenyLists(digests, lists)
        }));
    }

    /// Returns the next finished download.
    ///
    /// Returns `None` if no prompt download is left, or at `deadline`, after which the rest are
    /// late.
    pub(crate) async fn next(&mut self, deadline: Instant) -> Option<TransferResult> {
        if let Some(result) = self.finished.take() {
            return Some(result);
        }
        if self.prompt.is_empty() {
            return None;
        }
        select! {
            Some(joined) = self.prompt.next() => Some(unwrap_task(joined)),
            Some(joined) = self.late.next() => Some(unwrap_task(joined)),
            () = sleep_until(deadline.into()) => {
                self.late.extend(mem::take(&mut self.prompt));
                None
            }
        }
    }

    /// Returns once a late download has finished.
    pub(crate) async fn late_arrival(&mut self) {
        if self.finished.is_none() {
            match self.late.next().await {
                Some(joined) => self.finished = Some(unwrap_task(joined)),
                None => std::future::pending().await,
            }
        }
    }

    /// Returns true if a late download is pending or not yet handled.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.late.is_empty() || self.finished.is_some()
    }
}

async fn fetch_deny_lists(
    digests: &BTreeSet<Digest>,
    source: &Source,
) -> anyhow::Result<Vec<Vec<u8>>> {
    let mut lists = Vec::new();
    for digest in digests {
        lists.push(deny_list::fetch(digest, source).await?);
    }
    Ok(lists)
}

fn unwrap_task(joined: Result<TransferResult, JoinError>) -> TransferResult {
    // No task is ever cancelled, so a failed one has panicked.
    joined.unwrap_or_else(|error| panic::resume_unwind(error.into_panic()))
}
