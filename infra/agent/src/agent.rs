//! The agent: asks what is new, keeps it, and has the broker act on it.

use std::{fs, time::Instant};

use anyhow::{Context as _, ensure};
use birthcert::{authority::AnyCa, clock::Timestamp};
use http::HeaderValue;

use crate::{
    authorities::Authorities,
    brokers::{Command, Desired},
    denied::Denied,
    directory::Directory,
    enforcer::Enforcer,
    index::{self, Listed},
    listing::Desk,
    log,
    options::Options,
    schedule::Schedule,
    source::{Fetched, Source},
    status::Counters,
};

/// A new CA may take longer to be found than a revocation.
const INDEX_INTERVALS: u32 = 10;

pub(crate) struct Agent<'a> {
    pub(crate) options: &'a Options,
    pub(crate) source: Source,
    pub(crate) roots: Vec<AnyCa>,
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
        let schedule = || Schedule::new(options.interval);
        let enforcer = Enforcer::new(command.broker(&directory)?, schedule(), &directory)?;
        let denied = Denied::restored(&directory).unwrap_or_else(|error| {
            log::error(format_args!("the kept list of denied devices: {error:#}"));
            Denied::default()
        });
        let source = Source::new(options)?;
        let desk = Desk { source: &source, roots: &roots, directory: &directory };
        let authorities = Authorities::restored(&desk, options)?;
        Ok(Self {
            options,
            source,
            roots,
            directory,
            index: Schedule::new(options.interval.saturating_mul(INDEX_INTERVALS)),
            index_etag: None,
            authorities,
            denied,
            list: schedule(),
            enforcer,
            counters: Counters::default(),
        })
    }

    /// Does what is due.
    pub(crate) async fn look(&mut self) {
        self.look_at_index().await;
        let mut is_new = self.look_at_authorities().await;
        is_new |= self.look_at_list(is_new).await;
        self.enforce(is_new).await;
    }

    /// When there is something to be done next.
    pub(crate) fn due(&self) -> Instant {
        let others = [&self.index, &self.list, self.enforcer.schedule()].map(Schedule::due);
        let due = others.into_iter().chain(self.authorities.due()).min();
        due.unwrap_or_else(Instant::now)
    }

    async fn look_at_index(&mut self) {
        if !self.index.is_due() {
            return;
        }
        let outcome = self.fetch_index().await;
        if let Some(Some(listed)) = self.index.settle(outcome) {
            self.authorities.list(listed, self.options);
        }
    }

    async fn fetch_index(&mut self) -> anyhow::Result<Option<Vec<Listed>>> {
        let fetched =
            self.source.fetch(index::PATH, self.index_etag.as_ref(), index::LIMIT).await?;
        let Fetched::Changed(document) = fetched else { return Ok(None) };
        let listed = index::parse(&document.body).with_context(|| index::PATH)?;
        self.index_etag = document.etag;
        Ok(Some(listed))
    }

    /// Whether there is a new CRL.
    async fn look_at_authorities(&mut self) -> bool {
        let desk = Desk { source: &self.source, roots: &self.roots, directory: &self.directory };
        self.authorities.look(&desk, &mut self.counters).await
    }

    /// Whether there is a new list of denied devices.
    async fn look_at_list(&mut self, is_new: bool) -> bool {
        if !self.denied.is_behind(self.authorities.known()) {
            // What failed may have been about a list that was replaced since.
            self.list.settle(Ok(()));
            return false;
        }
        if !is_new && !self.list.is_due() {
            return false;
        }
        let authorities = self.authorities.known();
        let outcome = Denied::fetch(authorities, &self.source, &self.directory).await;
        match self.list.settle(outcome) {
            Some(denied) => {
                self.denied = denied;
                true
            }
            None => false,
        }
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
            let desk =
                Desk { source: &self.source, roots: &self.roots, directory: &self.directory };
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
fn roots(options: &Options) -> anyhow::Result<Vec<AnyCa>> {
    const END: &str = "-----END CERTIFICATE-----";
    let name = options.root.display();
    let text = fs::read_to_string(&options.root).with_context(|| format!("cannot read {name}"))?;
    let mut roots = Vec::new();
    for part in text.split_inclusive(END).filter(|part| part.contains(END)) {
        let root = AnyCa::from_pem(part.trim_start()).map_err(anyhow::Error::msg);
        let root = root.with_context(|| name.to_string())?;
        ensure!(root.is_issued_by(&root), "{name} has a certificate that is no root's");
        roots.push(root);
    }
    ensure!(!roots.is_empty(), "{name} has no certificate");
    Ok(roots)
}
