//! All CAs: the candidates from the index, and the authorities that have proved themselves.
//!
//! The index is unsigned. A CA is therefore identified by its key, not by its name in the index,
//! and is known only once a CRL of its own is verified. Its last CRL number is a floor for later
//! ones, whatever name they are published under.

use std::{cmp::Reverse, collections::BTreeMap, time::Instant};

use anyhow::{Context as _, ensure};
use pki::{authority::CaCertificate, clock::Timestamp, crl::VerifiedCrl};

use super::{
    candidate::Candidate,
    chain::Chain,
    context::TrustContext,
    installed_crls::InstalledCrls,
    verified_ca::{VerifiedCa, check_newer},
};
use crate::{
    ca_name,
    counters::Counters,
    disk::{CaFile, DataDirectory},
    log,
    options::Options,
    published::{Fetched, IndexEntry, Purpose, Request, Transfers},
};

pub(crate) struct Authorities {
    /// The CAs that are not verified yet, by their names in the index.
    candidates: BTreeMap<String, Candidate>,
    /// The verified CAs, by the names under which the agent keeps them.
    known: BTreeMap<String, VerifiedCa>,
    /// True once this run has received an index.
    has_index: bool,
    installed: InstalledCrls,
    /// Saved CAs that no longer chain to a root, or duplicate another.
    dropped: Vec<String>,
}

impl Authorities {
    /// Restores what still verifies of the saved CAs and of the broker's CRLs.
    pub(crate) fn restore(context: &TrustContext<'_>, options: &Options) -> anyhow::Result<Self> {
        let interval = options.polling_interval();
        let mut all = Self {
            candidates: BTreeMap::new(),
            known: BTreeMap::new(),
            has_index: false,
            installed: InstalledCrls::read(context.directory, Timestamp::now()),
            dropped: Vec::new(),
        };
        let mut dropped_issuers = Vec::new();
        for name in context.directory.saved_cas()? {
            let chain = context.directory.read(&name, CaFile::Chain)?;
            let chain = chain.map(Chain::parse).transpose().unwrap_or_else(|error| {
                log::error(format_args!("cannot restore the chain of CA {name}: {error:#}"));
                None
            });
            if let Some(chain) = &chain
                && let Err(error) = chain.verify(context.roots)
            {
                log::warn(format_args!("dropping CA {name}: {error:#}"));
                all.installed.take_newest(&chain.certificate);
                dropped_issuers.extend(chain.issuers());
                all.dropped.push(name);
                continue;
            }
            let candidate = Candidate::restored(&name, chain, interval);
            all.candidates.insert(name, candidate);
        }
        if let Some(path) = &options.root_crl {
            let root = Chain::of_root(context.roots.first().context("--root is empty")?)?;
            let root = Candidate::root(root, path, interval);
            all.candidates.insert(ca_name::ROOT.to_owned(), root);
        }
        all.restore_crls(context)?;
        // Never wait for the issuers of a dropped CA, nor for a root whose CRL is not polled: their
        // CRLs are issued by hand and stay valid for years.
        let roots = context.roots.iter().map(|root| root.subject());
        all.installed.remove_issued_by(dropped_issuers.iter().chain(roots));
        Ok(all)
    }

    fn restore_crls(&mut self, context: &TrustContext<'_>) -> anyhow::Result<()> {
        let mut saved = Vec::new();
        for (name, candidate) in &self.candidates {
            let Some(chain) = &candidate.chain else { continue };
            let crl = context.directory.read(name, CaFile::Crl)?;
            let crl = crl.map(|der| VerifiedCrl::from_der(der, &chain.certificate)).transpose();
            let crl = crl.unwrap_or_else(|error| {
                log::error(format_args!("cannot restore the CRL of CA {name}: {error}"));
                None
            });
            saved.push((name.clone(), chain.certificate.clone(), crl));
        }
        // If two names have one key, the name with the newer CRL stays.
        saved.sort_by_key(|(_, _, crl)| Reverse(crl.as_ref().map(VerifiedCrl::number)));
        for (name, certificate, crl) in saved {
            if let Some(known) = self.find(&certificate) {
                log::warn(format_args!("dropping CA {name}: same key as CA {}", known.name()));
                self.candidates.remove(&name);
                self.dropped.push(name);
                continue;
            }
            let crls = [crl, self.installed.take_newest(&certificate)];
            if let Some(crl) = crls.into_iter().flatten().max_by_key(VerifiedCrl::number) {
                self.known.insert(name.clone(), VerifiedCa::new(name, certificate, crl));
            }
        }
        Ok(())
    }

    /// Applies a new index.
    pub(crate) fn update_index(&mut self, entries: Vec<IndexEntry>, options: &Options) {
        let now = Timestamp::now();
        self.has_index = true;
        for candidate in self.candidates.values_mut().filter(|it| !it.is_root()) {
            candidate.is_listed = false;
        }
        for entry in entries {
            if let Some(candidate) = self.candidates.get_mut(&entry.name) {
                candidate.update(entry, now);
            } else {
                let candidate = Candidate::new(entry.clone(), options.polling_interval());
                self.candidates.insert(entry.name, candidate);
            }
        }
        // A known CA stays when the index drops it; an unproven name does not.
        let known = &self.known;
        self.candidates.retain(|name, it| {
            let is_known =
                known.contains_key(name) || known.values().any(|authority| it.is_for(authority));
            it.is_listed || it.is_saved || is_known
        });
    }

    /// Requests what is due and was not requested since `start`: a CA's chain, and then its CRL.
    pub(crate) fn request_due(&mut self, transfers: &Transfers, start: Instant) {
        let now = Timestamp::now();
        for (name, candidate) in &mut self.candidates {
            if !candidate.schedule.is_due(start) || candidate.has_expired(now) {
                continue;
            }
            let name = name.clone();
            let (purpose, request) = match &candidate.chain {
                None => (Purpose::Chain(name), candidate.chain_request()),
                Some(_) => (Purpose::Crl(name), candidate.crl_request()),
            };
            candidate.schedule.begin();
            transfers.request(purpose, request);
        }
    }

    /// Accepts a CA's chain. Returns true if this identified a CRL that the broker already has.
    pub(crate) fn accept_chain(
        &mut self,
        name: &str,
        fetched: anyhow::Result<Fetched>,
        context: &TrustContext<'_>,
        counters: &mut Counters,
    ) -> bool {
        // A newer index may have removed the candidate.
        let Some(candidate) = self.candidates.get_mut(name) else { return false };
        // The CRL is due next.
        candidate.schedule.follow_up();
        let parsed = fetched.and_then(Candidate::parse_chain);
        let is_parsed = parsed.is_ok();
        match parsed.and_then(|chain| self.claim(name, chain, context)) {
            Ok(has_crl) => has_crl,
            Err(error) => {
                counters.failures += 1;
                if let Some(candidate) = self.candidates.get_mut(name) {
                    candidate.is_rejected |= is_parsed && candidate.chain.is_none();
                    candidate.finish(Err(error));
                }
                false
            }
        }
    }

    /// Verifies a chain and assigns it to a name. Fails if another listed name has the same key.
    fn claim(
        &mut self,
        name: &str,
        chain: Chain,
        context: &TrustContext<'_>,
    ) -> anyhow::Result<bool> {
        chain.verify(context.roots)?;
        let certificate = chain.certificate.clone();
        let has_key = |it: &Candidate| {
            it.chain.as_ref().is_some_and(|it| it.certificate.key() == certificate.key())
        };
        let rival = self.candidates.iter().find(|(other, it)| *other != name && has_key(it));
        if let Some((rival, candidate)) = rival {
            ensure!(!candidate.is_listed, "certificate has the same key as CA {rival}");
            let rival = rival.clone();
            self.candidates.remove(&rival);
        }
        self.candidates.get_mut(name).context("no such candidate")?.chain = Some(chain);
        match self.installed.take_newest(&certificate) {
            Some(crl) if self.find(&certificate).is_none() => {
                self.save(name, crl, context.directory).map(|()| true)
            }
            _ => Ok(false),
        }
    }

    /// Accepts a CA's CRL. Returns true if it is new.
    pub(crate) fn accept_crl(
        &mut self,
        name: &str,
        request: Request,
        fetched: anyhow::Result<Fetched>,
        context: &TrustContext<'_>,
        counters: &mut Counters,
    ) -> bool {
        let now = Timestamp::now();
        if let Some(candidate) = self.candidates.get_mut(name) {
            candidate.schedule.follow_up();
        }
        let Some(candidate) = self.candidates.get(name) else { return false };
        let Some(chain) = &candidate.chain else { return false };
        // If the index names another path by now, the CRL is requested there.
        let is_current = candidate.is_current(&request);
        if fetched.is_err() && !is_current {
            return false;
        }
        let known = self.find(&chain.certificate);
        let response = fetched.and_then(|it| Candidate::verify_crl(request, it, chain, known));
        let is_new = response.as_ref().is_ok_and(|it| it.crl.is_some());
        let outcome = response.and_then(|response| {
            if let Some(crl) = response.crl {
                self.replace_crl(name, crl, context.directory, now)?;
            }
            Ok(response.etag.filter(|_| is_current))
        });
        let Some(candidate) = self.candidates.get_mut(name) else { return false };
        if !candidate.finish(outcome) {
            counters.failures += 1;
            return false;
        }
        if let Some(authority) = self.known.values_mut().find(|it| candidate.is_for(it)) {
            authority.mark_checked(now);
        }
        counters.crls_taken += u64::from(is_new);
        is_new
    }

    fn replace_crl(
        &mut self,
        name: &str,
        crl: VerifiedCrl,
        directory: &DataDirectory,
        now: Timestamp,
    ) -> anyhow::Result<()> {
        let chain = self.candidates.get(name).and_then(|it| it.chain.as_ref());
        let known = chain.and_then(|it| self.find(&it.certificate));
        check_newer(&crl, known.map(VerifiedCa::crl), now)?;
        self.save(name, crl, directory)
    }

    /// Saves a CRL to disk before it is used: what the broker once had must survive a restart.
    fn save(
        &mut self,
        name: &str,
        crl: VerifiedCrl,
        directory: &DataDirectory,
    ) -> anyhow::Result<()> {
        let chain = self.candidates.get(name).and_then(|it| it.chain.as_ref());
        let chain = chain.context("no such candidate")?;
        let known = self.find(&chain.certificate).map(|it| it.name().to_owned());
        let is_known = known.is_some();
        let name = known.unwrap_or_else(|| self.unused_name(name));
        if !is_known && name != ca_name::ROOT {
            directory.save(&name, CaFile::Chain, chain.text().as_bytes())?;
        }
        directory.save(&name, CaFile::Crl, crl.der())?;
        log::info(format_args!(
            "CA {name}: CRL {} with {} entries, valid until {}",
            crl.number(),
            crl.len(),
            crl.next_update()
        ));
        if let Some(authority) = self.known.get_mut(&name) {
            authority.replace_crl(crl);
        } else {
            let authority = VerifiedCa::new(name.clone(), chain.certificate.clone(), crl);
            self.known.insert(name, authority);
        }
        Ok(())
    }

    fn find(&self, certificate: &CaCertificate) -> Option<&VerifiedCa> {
        self.known.values().find(|it| it.has_key_of(certificate))
    }

    /// Returns the name, or one with a number if the index has given the name to another CA before.
    fn unused_name(&self, name: &str) -> String {
        if !self.known.contains_key(name) {
            return name.to_owned();
        }
        let numbered = (2_u32..).map(|number| format!("{name:.50}-{number}"));
        numbered.into_iter().find(|it| !self.known.contains_key(it)).unwrap_or_default()
    }

    /// Returns when the next request is due.
    pub(crate) fn due(&self) -> Option<Instant> {
        let now = Timestamp::now();
        let candidates = self.candidates.values().filter(|it| !it.has_expired(now));
        candidates.filter_map(|it| it.schedule.due()).min()
    }

    pub(crate) fn known(&self) -> impl Iterator<Item = &VerifiedCa> {
        self.known.values()
    }

    /// Returns the CAs whose certificates have not expired.
    pub(crate) fn in_force(&self, now: Timestamp) -> impl Iterator<Item = &VerifiedCa> {
        self.known.values().filter(move |it| !it.has_expired(now))
    }

    /// Returns the names for which no CRL is verified yet.
    pub(crate) fn unverified(&self) -> impl Iterator<Item = &str> {
        let is_unverified =
            |it: &Candidate| !self.known.values().any(|authority| it.is_for(authority));
        let unverified = self.candidates.iter().filter(move |(_, it)| is_unverified(it));
        unverified.map(|(name, _)| name.as_str()).filter(|name| !self.known.contains_key(*name))
    }

    /// Returns the names of the CAs that have a problem, with its text.
    pub(crate) fn problems(&self, now: Timestamp) -> impl Iterator<Item = (&str, &str)> {
        let candidates = self.candidates.iter().filter(move |(_, it)| !it.has_expired(now));
        candidates.filter_map(|(name, it)| Some((name.as_str(), it.schedule.problem()?)))
    }

    /// Returns the reason why the broker's CRLs must not be written yet, if there is one.
    ///
    /// The broker may hold a CRL of a CA that is not verified yet, and would refuse all of that
    /// CA's devices without it. The agent waits for such a CA, but only while the CRL is valid, and
    /// no longer than a CA's CRL can be. A forged index can cause this wait, and nothing more.
    pub(crate) fn missing(&self, now: Timestamp) -> Option<&'static str> {
        if self.in_force(now).next().is_none() {
            return Some("no CRL received yet: not writing the broker's files");
        }
        let is_expected = !self.has_index || self.unverified().any(|name| !self.is_rejected(name));
        let would_remove = is_expected && self.installed.has_valid(now);
        would_remove.then_some(
            "the broker has a CRL of a CA that is not verified yet: not writing the broker's files",
        )
    }

    /// Returns true if no CA is to be expected under the name, whatever the index says.
    fn is_rejected(&self, name: &str) -> bool {
        self.candidates.get(name).is_some_and(|it| it.chain.is_none() && it.is_rejected)
    }

    /// Forgets the CRLs that the broker had at the start, once they have been replaced.
    pub(crate) fn broker_files_written(&mut self) {
        self.installed.clear();
    }

    /// Removes the files of dropped CAs, once the broker no longer has their CRLs.
    pub(crate) fn remove_dropped(&mut self, directory: &DataDirectory) -> anyhow::Result<()> {
        for name in &self.dropped {
            if !self.known.contains_key(name) {
                directory.remove(name)?;
            }
        }
        self.dropped.clear();
        Ok(())
    }
}
