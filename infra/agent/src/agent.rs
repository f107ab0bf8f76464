//! The polling loop: downloads what is due, verifies and stores it, and reconciles the broker.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use http::HeaderValue;
use pki::{authority::ChainCertificate, clock::Timestamp};
use tokio::{select, time::sleep_until};

use crate::{
    brokers::{Command, DesiredState, Reconciler},
    counters::Counters,
    disk::DataDirectory,
    log,
    options::Options,
    published::{Digest, Fetched, Purpose, Schedule, Source, TransferResult, Transfers, index},
    trust::{Authorities, DeniedDevices, TrustContext, load_roots},
};

/// New CAs are rarer than revocations, so the index is polled this many times less often.
const INDEX_INTERVALS: u32 = 10;
/// Time after which a download is late, and the poll goes on without it.
const PATIENCE: Duration = Duration::from_secs(1);
/// The same, until the broker has its files.
const INITIAL_PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Agent<'a> {
    pub(crate) options: &'a Options,
    transfers: Transfers,
    roots: Vec<ChainCertificate>,
    pub(crate) directory: DataDirectory,
    pub(crate) index_schedule: Schedule,
    index_etag: Option<HeaderValue>,
    /// All CAs, including the root if its CRL is installed.
    pub(crate) authorities: Authorities,
    pub(crate) denied: DeniedDevices,
    pub(crate) denied_schedule: Schedule,
    pub(crate) reconciler: Reconciler,
    pub(crate) counters: Counters,
}

impl<'a> Agent<'a> {
    /// Restores the state that an earlier run left in the directory.
    pub(crate) fn start(command: &'a Command) -> anyhow::Result<Self> {
        let options = command.options();
        let roots = load_roots(&options.root)?;
        let directory = DataDirectory::open(&options.directory)?;
        let interval = options.polling_interval();
        let schedule = || Schedule::new(interval);
        let reconciler = Reconciler::new(command.broker(&directory)?, schedule(), &directory)?;
        let denied = DeniedDevices::restore(&directory).unwrap_or_else(|error| {
            log::error(format_args!("cannot restore the deny list: {error:#}"));
            DeniedDevices::default()
        });
        let source = Source::new(&options.source, options.tls_root.as_deref())?;
        let context = TrustContext { roots: &roots, directory: &directory };
        let authorities = Authorities::restore(&context, options)?;
        Ok(Self {
            options,
            transfers: Transfers::new(source),
            roots,
            directory,
            index_schedule: Schedule::new(interval.saturating_mul(INDEX_INTERVALS)),
            index_etag: None,
            authorities,
            denied,
            denied_schedule: schedule(),
            reconciler,
            counters: Counters::default(),
        })
    }

    /// Requests what is due, accepts what has arrived, and reconciles the broker.
    ///
    /// Once the broker has its files, a slow download delays nothing else.
    pub(crate) async fn poll(&mut self) {
        let start = Instant::now();
        let is_settled = self.reconciler.is_in_place();
        let deadline = start + if is_settled { PATIENCE } else { INITIAL_PATIENCE };
        let mut is_changed = false;
        loop {
            // An accepted document can make others due, which do not wait for the next poll.
            self.request_due(start);
            let Some(result) = self.transfers.next(deadline).await else { break };
            is_changed |= self.accept(result);
        }
        self.reconcile(is_changed).await;
    }

    /// Polls until no download is pending.
    pub(crate) async fn poll_to_completion(&mut self) {
        self.poll().await;
        while self.transfers.is_waiting() {
            self.wait().await;
            self.poll().await;
        }
    }

    /// Waits until something is due or a late download finishes.
    pub(crate) async fn wait(&mut self) {
        let schedules = [&self.index_schedule, &self.denied_schedule, self.reconciler.schedule()];
        let due = schedules.into_iter().filter_map(Schedule::due).chain(self.authorities.due());
        let due = due.min().unwrap_or_else(Instant::now);
        select! {
            () = sleep_until(due.into()) => {}
            () = self.transfers.late_arrival() => {}
        }
    }

    /// Returns the reason why the broker's files must not be written yet, if there is one.
    ///
    /// Files written too early could revoke less than those that the broker has.
    pub(crate) fn missing(&self) -> Option<&'static str> {
        if !self.denied.is_known() {
            return Some("no deny list received yet: not writing the broker's files");
        }
        self.authorities.missing(Timestamp::now())
    }

    /// Requests what is due and was not requested since `start`.
    fn request_due(&mut self, start: Instant) {
        if self.index_schedule.is_due(start) {
            self.index_schedule.begin();
            self.transfers.request(Purpose::Index, index::request(self.index_etag.clone()));
        }
        self.authorities.request_due(&self.transfers, start);
        if self.denied.is_outdated(self.authorities.known()) {
            if self.denied_schedule.is_due(start) {
                self.denied_schedule.begin();
                let digests = DeniedDevices::named_by(self.authorities.known());
                self.transfers.request_deny_lists(digests);
            }
        } else if !self.denied_schedule.is_pending() {
            // An earlier failure may concern a deny list that has since been replaced.
            self.denied_schedule.finish(Ok(()));
        }
    }

    /// Accepts a download. Returns true if the broker has to learn of it.
    fn accept(&mut self, result: TransferResult) -> bool {
        let context = TrustContext { roots: &self.roots, directory: &self.directory };
        let counters = &mut self.counters;
        let is_changed = match result {
            TransferResult::Document(Purpose::Index, _, fetched) => {
                self.accept_index(fetched);
                return false;
            }
            TransferResult::DenyLists(digests, fetched) => {
                return self.accept_deny_lists(digests, fetched);
            }
            TransferResult::Document(Purpose::Chain(name), _, fetched) => {
                self.authorities.accept_chain(&name, fetched, &context, counters)
            }
            TransferResult::Document(Purpose::Crl(name), request, fetched) => {
                self.authorities.accept_crl(&name, request, fetched, &context, counters)
            }
        };
        if is_changed {
            self.denied_schedule.expedite();
        }
        is_changed
    }

    fn accept_index(&mut self, fetched: anyhow::Result<Fetched>) {
        let outcome = fetched.and_then(|fetched| {
            let Fetched::Changed(document) = fetched else { return Ok(None) };
            let entries = index::parse(&document.body).with_context(|| index::PATH)?;
            self.index_etag = document.etag;
            Ok(Some(entries))
        });
        if let Some(Some(entries)) = self.index_schedule.finish(outcome) {
            self.authorities.update_index(entries, self.options);
        }
    }

    fn accept_deny_lists(
        &mut self,
        digests: BTreeSet<Digest>,
        fetched: anyhow::Result<Vec<Vec<u8>>>,
    ) -> bool {
        let is_current = DeniedDevices::named_by(self.authorities.known()) == digests;
        let denied = fetched.and_then(|lists| DeniedDevices::from_lists(digests, &lists));
        let saved = denied.and_then(|it| it.save(&self.directory).map(|()| it));
        let denied = self.denied_schedule.finish(saved);
        if !is_current {
            self.denied_schedule.expedite();
        }
        denied.map(|it| self.denied = it).is_some()
    }

    async fn reconcile(&mut self, is_changed: bool) {
        if self.missing().is_some() {
            self.reconciler.hold();
            return;
        }
        let authorities = self.authorities.in_force(Timestamp::now());
        let crls: Vec<_> = authorities.map(|it| (it.name(), it.certificate(), it.crl())).collect();
        let desired = DesiredState { crls: &crls, denied: self.denied.devices() };
        self.reconciler.reconcile(&desired, is_changed, &self.directory, &mut self.counters).await;
        if self.reconciler.is_in_place() {
            self.authorities.broker_files_written();
            if let Err(error) = self.authorities.remove_dropped(&self.directory) {
                log::warn(format_args!("cannot remove the files of dropped CAs: {error:#}"));
            }
        }
    }
}
