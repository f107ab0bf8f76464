//! The agent: asks what is new, keeps it, and has the broker act on it.

use std::{collections::BTreeMap, fs, time::Instant};

use anyhow::{Context as _, ensure};
use birthcert::{
    authority::{AnyCa, CaCertificate},
    clock::Timestamp,
};
use futures_util::future::join_all;
use http::HeaderValue;

use crate::{
    authority::{Authority, Desk},
    brokers::{Command, Desired},
    denied::Denied,
    directory::Directory,
    enforcer::Enforcer,
    index::{self, Listed},
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
    /// CAs and, as `root`, the root, if its CRL is taken.
    pub(crate) authorities: BTreeMap<String, Authority>,
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
        let mut agent = Self {
            options,
            source: Source::new(options)?,
            roots,
            directory,
            index: Schedule::new(options.interval.saturating_mul(INDEX_INTERVALS)),
            index_etag: None,
            authorities: BTreeMap::new(),
            denied,
            list: schedule(),
            enforcer,
            counters: Counters::default(),
        };
        agent.restore()?;
        Ok(agent)
    }

    fn restore(&mut self) -> anyhow::Result<()> {
        let interval = self.options.interval;
        let mut authorities = Vec::new();
        for name in self.directory.names()? {
            // Where its files are the index says again, and until then this.
            let (crl, certificate) = (format!("crl/{name}.crl"), format!("ca/{name}.crt"));
            authorities.push(Authority::listed(Listed { name, crl, certificate }, interval));
        }
        if let Some(path) = &self.options.root_crl {
            let root = self.roots.first().context("--root")?;
            let root = CaCertificate::from_pem(root.pem()).map_err(anyhow::Error::msg);
            let root = root.context("the root's CRL cannot be verified")?;
            authorities.push(Authority::root(root, path, interval));
        }
        let (source, roots, directory) = (&self.source, &self.roots, &self.directory);
        let desk = Desk { source, roots, directory };
        for authority in authorities {
            let authority = authority.restored(&desk)?;
            self.authorities.insert(authority.name().to_owned(), authority);
        }
        Ok(())
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
        let now = Timestamp::now();
        let authorities = self.authorities.values().filter(|it| !it.is_over(now));
        let schedules = authorities.map(Authority::schedule);
        let others = [&self.index, &self.list, self.enforcer.schedule()];
        let due = schedules.chain(others).map(Schedule::due).min();
        due.unwrap_or_else(Instant::now)
    }

    async fn look_at_index(&mut self) {
        if !self.index.is_due() {
            return;
        }
        let outcome = self.fetch_index().await;
        let Some(Some(listed)) = self.index.settle(outcome) else { return };
        for listed in listed {
            if let Some(known) = self.authorities.get_mut(&listed.name) {
                known.moved(listed);
            } else {
                let authority = Authority::listed(listed, self.options.interval);
                self.authorities.insert(authority.name().to_owned(), authority);
            }
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
        let now = Timestamp::now();
        let (source, roots, directory) = (&self.source, &self.roots, &self.directory);
        let desk = Desk { source, roots, directory };
        let due =
            self.authorities.values_mut().filter(|it| it.schedule().is_due() && !it.is_over(now));
        let outcomes = join_all(due.map(|it| it.poll(&desk))).await;
        let taken = outcomes.iter().filter(|it| **it == Some(true)).count();
        self.counters.failures += outcomes.iter().filter(|it| it.is_none()).count() as u64;
        self.counters.crls_taken += taken as u64;
        taken > 0
    }

    /// Whether there is a new list of denied devices.
    async fn look_at_list(&mut self, is_new: bool) -> bool {
        if !self.denied.is_behind(self.authorities.values()) {
            // What failed may have been about a list that was replaced since.
            self.list.settle(Ok(()));
            return false;
        }
        if !is_new && !self.list.is_due() {
            return false;
        }
        let authorities = self.authorities.values();
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
            return;
        }
        let now = Timestamp::now();
        let authorities = self.authorities.values().filter(|it| !it.is_over(now));
        let crls = authorities.filter_map(|it| Some((it.name(), it.certificate()?, it.crl()?)));
        let crls: Vec<_> = crls.collect();
        let desired = Desired { crls: &crls, denied: self.denied.devices() };
        self.enforcer.enforce(&desired, is_new, &self.directory, &mut self.counters).await;
    }

    /// What has to be there before the broker's files are touched: what was written without it would
    /// be less than what may stand there.
    pub(crate) fn missing(&self) -> Option<String> {
        if !self.denied.is_known() {
            return Some("there was no list of denied devices yet: nothing is written".into());
        }
        let damaged = self.authorities.values().find(|it| it.is_damaged())?;
        Some(format!("the kept CRL of CA {} is damaged: nothing is written", damaged.name()))
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
