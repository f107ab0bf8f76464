//! What was asked for and has not come yet. Each document comes in a task of its own, so that nothing waits
//! for another that comes slowly.

use std::{collections::BTreeSet, mem, panic, sync::Arc, time::Instant};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use http::HeaderValue;
use tokio::{
    select,
    sync::Semaphore,
    task::{JoinError, JoinHandle},
    time::sleep_until,
};

use crate::{
    denied::{Denied, Digest},
    source::{Fetched, Source},
};

/// CRLs that come at once, each of which may take much memory.
const CRLS_AT_ONCE: usize = 4;

/// What to ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) path: String,
    /// The entity tag of what is known.
    pub(crate) known: Option<HeaderValue>,
    /// In octets.
    pub(crate) limit: usize,
}

/// What a document is for.
pub(crate) enum Purpose {
    Index,
    /// By the name of the CA in the index.
    Chain(String),
    Crl(String),
}

/// What has come, or has not.
pub(crate) enum Arrival {
    Document(Purpose, Request, anyhow::Result<Fetched>),
    /// With what was wanted.
    Denied(BTreeSet<Digest>, anyhow::Result<Denied>),
}

pub(crate) struct Transfers {
    source: Source,
    slots: Arc<Semaphore>,
    /// What [`Transfers::next`] waits for.
    prompt: FuturesUnordered<JoinHandle<Arrival>>,
    /// What it has waited for long enough.
    late: FuturesUnordered<JoinHandle<Arrival>>,
    /// What was late and came meanwhile.
    arrived: Option<Arrival>,
}

impl Transfers {
    pub(crate) fn new(source: Source) -> Self {
        Self {
            source,
            slots: Arc::new(Semaphore::new(CRLS_AT_ONCE)),
            prompt: FuturesUnordered::new(),
            late: FuturesUnordered::new(),
            arrived: None,
        }
    }

    pub(crate) fn ask(&self, purpose: Purpose, request: Request) {
        let (source, slots) = (self.source.clone(), Arc::clone(&self.slots));
        self.prompt.push(tokio::spawn(async move {
            // Never closed.
            let _slot = match purpose {
                Purpose::Crl(_) => slots.acquire().await.ok(),
                Purpose::Index | Purpose::Chain(_) => None,
            };
            let Request { path, known, limit } = &request;
            let fetched = source.fetch(path, known.as_ref(), *limit).await;
            Arrival::Document(purpose, request, fetched)
        }));
    }

    pub(crate) fn ask_for_denied(&self, digests: BTreeSet<Digest>) {
        let source = self.source.clone();
        self.prompt.push(tokio::spawn(async move {
            let fetched = Denied::fetch(digests.clone(), &source).await;
            Arrival::Denied(digests, fetched)
        }));
    }

    /// What comes next; none, if nothing is expected any more, or not before `deadline`: all the rest is
    /// late then.
    pub(crate) async fn next(&mut self, deadline: Instant) -> Option<Arrival> {
        if let Some(arrival) = self.arrived.take() {
            return Some(arrival);
        }
        if self.prompt.is_empty() {
            return None;
        }
        select! {
            Some(arrival) = self.prompt.next() => Some(whole(arrival)),
            Some(arrival) = self.late.next() => Some(whole(arrival)),
            () = sleep_until(deadline.into()) => {
                self.late.extend(mem::take(&mut self.prompt));
                None
            }
        }
    }

    /// Returns when something has come that was late.
    pub(crate) async fn arrival(&mut self) {
        if self.arrived.is_none() {
            match self.late.next().await {
                Some(arrival) => self.arrived = Some(whole(arrival)),
                None => std::future::pending().await,
            }
        }
    }

    /// Whether something is late.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.late.is_empty() || self.arrived.is_some()
    }
}

fn whole(arrival: Result<Arrival, JoinError>) -> Arrival {
    // Nobody cancels them.
    arrival.unwrap_or_else(|error| panic::resume_unwind(error.into_panic()))
}
