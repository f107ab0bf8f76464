//! The agent: asks what is new, keeps it, and has the broker act on it.

use std::{
    collections::BTreeSet,
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use http::HeaderValue;
use pki::{authority::ChainCertificate, clock::Timestamp};
use tokio::{select, time::sleep_until};

use crate::{
    authorities::Authorities,
    brokers::{Command, Desired},
    denied::{Denied, Digest},
    directory::Directory,
    enforcer::Enforcer,
    index,
    listing::Desk,
    log,
    options::Options,
    schedule::Schedule,
    source::{Fetched, Source},
    status::Counters,
    transfers::{Arrival, Purpose, Transfers},
};

/// A new CA may take longer to be found than a revocation.
const INDEX_INTERVALS: u32 = 10;
/// What has not come by then is late.
const PATIENCE: Duration = Duration::from_secs(1);
/// As long as the broker does not have its files.
const FIRST_PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Agent<'a> {
    pub(crate) options: &'a Options,
    transfers: Transfers,
    pub(crate) roots: Vec<ChainCertificate>,
    pub(crate) directory: Directory,
    pub(crate) index: Schedule,
    index_etag: Option<HeaderValue>,
    /// With the root, if its CRL is taken.
    pub(crate) authorities: Authorities,
    pub(crate) denied: Denied,
    /// Of the list of denied devices.
    pub(crate) list: Schedule,
    pub(crate) enforcer: Enforcer,
    pub(crate) counters: Counters,
}

impl<'a> Agent<'a> {
    /// With what an earlier run left in the directory.
    pub(crate) fn start(command: &'a Command) -> anyhow::Result<Self> {
        let options = command.options();
        let roots = roots(options)?;
        let directory = Directory::open(&options.directory)?;
        let schedule = || Schedule::new(options.pause());
        let enforcer = Enforcer::new(command.broker(&directory)?, schedule(), &directory)?;
        let denied = Denied::restored(&directory).unwrap_or_else(|error| {
            log::error(format_args!("the kept list of denied devices: {error:#}"));
            Denied::default()
        });
        let transfers = Transfers::new(Source::new(options)?);
        let desk = Desk { roots: &roots, directory: &directory };
        let authorities = Authorities::restored(&desk, options)?;
        Ok(Self {
            options,
            transfers,
            roots,
            directory,
            index: Schedule::new(options.pause().saturating_mul(INDEX_INTERVALS)),
            index_etag: None,
            authorities,
            denied,
            list: schedule(),
            enforcer,
            counters: Counters::default(),
        })
    }

    /// Does what is due, and takes what has come. What comes slowly is waited for by nothing else, once the
    /// broker has its files.
    pub(crate) async fn look(&mut self) {
        let is_settled = self.enforcer.is_in_place();
        let start = Instant::now();
        let deadline = start + if is_settled { PATIENCE } else { FIRST_PATIENCE };
        let mut is_new = false;
        loop {
            // What follows from what came, and nothing twice: news do not wait for the next round.
            self.ask(start);
            let Some(arrival) = self.transfers.next(deadline).await else { break };
            is_new |= self.take(arrival);
        }
        self.enforce(is_new).await;
    }

    /// The same, until all of it has come.
    pub(crate) async fn look_to_the_end(&mut self) {
        self.look().await;
        while self.transfers.is_waiting() {
            self.rest().await;
            self.look().await;
        }
    }

    /// Until there is something to be done.
    pub(crate) async fn rest(&mut self) {
        let schedules = [&self.index, &self.list, self.enforcer.schedule()];
        let due = schedules.into_iter().filter_map(Schedule::due).chain(self.authorities.due());
        let due = due.min().unwrap_or_else(Instant::now);
        select! {
            () = sleep_until(due.into()) => {}
            () = self.transfers.arrival() => {}
        }
    }

    /// Asks for what is due, and was not asked for since `start`.
    fn ask(&mut self, start: Instant) {
        if self.index.is_due(start) {
            self.index.begin();
            self.transfers.ask(Purpose::Index, index::request(self.index_etag.clone()));
        }
        self.authorities.ask(&self.transfers, start);
        if self.denied.is_behind(self.authorities.known()) {
            if self.list.is_due(start) {
                self.list.begin();
                self.transfers.ask_for_denied(Denied::wanted(self.authorities.known()));
            }
        } else if !self.list.is_coming() {
            // What failed may have been about a list that was replaced since.
            self.list.settle(Ok(()));
        }
    }

    /// Whether it is new to the broker.
    fn take(&mut self, arrival: Arrival) -> bool {
        let desk = Desk { roots: &self.roots, directory: &self.directory };
        let counters = &mut self.counters;
        let is_new = match arrival {
            Arrival::Document(Purpose::Index, _, fetched) => {
                self.take_index(fetched);
                return false;
            }
            Arrival::Denied(wanted, fetched) => return self.take_denied(&wanted, fetched),
            Arrival::Document(Purpose::Chain(name), _, fetched) => {
                self.authorities.take_chain(&name, fetched, &desk, counters)
            }
            Arrival::Document(Purpose::Crl(name), request, fetched) => {
                self.authorities.take_crl(&name, request, fetched, &desk, counters)
            }
        };
        if is_new {
            self.list.hurry();
        }
        is_new
    }

    fn take_index(&mut self, fetched: anyhow::Result<Fetched>) {
        let outcome = fetched.and_then(|fetched| {
            let Fetched::Changed(document) = fetched else { return Ok(None) };
            let listed = index::parse(&document.body).with_context(|| index::PATH)?;
            self.index_etag = document.etag;
            Ok(Some(listed))
        });
        if let Some(Some(listed)) = self.index.settle(outcome) {
            self.authorities.list(listed, self.options);
        }
    }

    fn take_denied(&mut self, wanted: &BTreeSet<Digest>, fetched: anyhow::Result<Denied>) -> bool {
        let kept = fetched.and_then(|it| it.keep(&self.directory).map(|()| it));
        let denied = self.list.settle(kept);
        if Denied::wanted(self.authorities.known()) != *wanted {
            self.list.hurry();
        }
        denied.map(|it| self.denied = it).is_some()
    }

    async fn enforce(&mut self, is_new: bool) {
        if self.missing().is_some() {
            self.enforcer.wait();
            return;
        }
        let authorities = self.authorities.in_force(Timestamp::now());
        let crls: Vec<_> = authorities.map(|it| (it.name(), it.certificate(), it.crl())).collect();
        let desired = Desired { crls: &crls, denied: self.denied.devices() };
        self.enforcer.enforce(&desired, is_new, &self.directory, &mut self.counters).await;
        if self.enforcer.is_in_place() {
            self.authorities.written();
            let desk = Desk { roots: &self.roots, directory: &self.directory };
            if let Err(error) = self.authorities.settled(&desk) {
                log::warn(format_args!("what is kept of CAs that were dropped: {error:#}"));
            }
        }
    }

    /// What has to be there before the broker's files are touched: what was written without it would
    /// be less than what may stand there.
    pub(crate) fn missing(&self) -> Option<&'static str> {
        if !self.denied.is_known() {
            return Some("there was no list of denied devices yet: nothing is written");
        }
        self.authorities.missing(Timestamp::now())
    }
}

/// The certificates that are trusted: one, or some while the root changes.
fn roots(options: &Options) -> anyhow::Result<Vec<ChainCertificate>> {
    const END: &str = "-----END CERTIFICATE-----";
    let name = options.root.display();
    let text = fs::read_to_string(&options.root).with_context(|| format!("cannot read {name}"))?;
    let mut roots = Vec::new();
    for part in text.split_inclusive(END).filter(|part| part.contains(END)) {
        let root = ChainCertificate::from_pem(part.trim_start()).map_err(anyhow::Error::msg);
        let root = root.with_context(|| name.to_string())?;
        ensure!(root.is_issued_by(&root), "{name} has a certificate that is no root's");
        roots.push(root);
    }
    ensure!(!roots.is_empty(), "{name} has no certificate");
    Ok(roots)
}
