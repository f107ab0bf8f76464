//! All CAs: what the index says of them, and what they proved.
//!
//! Nobody signed the index. So a CA is known by its key, whatever the index calls it, and only once a
//! CRL of its own verified; its last CRL's number is the floor, whichever entry a CRL comes by.

use std::{cmp::Reverse, collections::BTreeMap, time::Instant};

use anyhow::{Context as _, ensure};
use pki::{authority::CaCertificate, clock::Timestamp, crl::VerifiedCrl};

use crate::{
    authority::{Authority, expect_better},
    chain::Chain,
    directory::Kept,
    index::{self, Listed},
    listing::{Desk, Listing},
    log,
    options::Options,
    present::Present,
    source::Fetched,
    status::Counters,
    transfers::{Purpose, Request, Transfers},
};

pub(crate) struct Authorities {
    listings: BTreeMap<String, Listing>,
    known: BTreeMap<String, Authority>,
    /// Whether this run has seen an index.
    is_listed: bool,
    present: Present,
    /// Kept CAs that lead to no root any more, or are there twice.
    dropped: Vec<String>,
}

impl Authorities {
    /// With what an earlier run kept, as far as that still verifies, or what the broker has.
    pub(crate) fn restored(desk: &Desk<'_>, options: &Options) -> anyhow::Result<Self> {
        let mut all = Self {
            listings: BTreeMap::new(),
            known: BTreeMap::new(),
            is_listed: false,
            present: Present::read(desk.directory, Timestamp::now()),
            dropped: Vec::new(),
        };
        let mut gone = Vec::new();
        for name in desk.directory.names()? {
            let chain = desk.directory.read(&name, Kept::Chain)?.map(Chain::read).transpose();
            let chain = chain.unwrap_or_else(|error| {
                log::error(format_args!("the kept certificate of CA {name}: {error:#}"));
                None
            });
            if let Some(chain) = &chain
                && let Err(error) = chain.lead_to(desk.roots)
            {
                log::warn(format_args!("CA {name} is dropped: {error:#}"));
                all.present.adopt(&chain.certificate);
                gone.extend(chain.issuers());
                all.dropped.push(name);
                continue;
            }
            let listing = Listing::kept(&name, chain, options.pause());
            all.listings.insert(name, listing);
        }
        if let Some(path) = &options.root_crl {
            let root = Chain::root(desk.roots.first().context("--root")?)?;
            let root = Listing::root(root, path, options.pause());
            all.listings.insert(index::ROOT.to_owned(), root);
        }
        all.restore_crls(desk)?;
        // Nobody has to wait for those above a CA that was dropped, nor for a root whose CRL is not asked
        // for: theirs are made by hand, and good for years.
        all.present.take_out(gone.iter().chain(desk.roots.iter().map(|root| root.subject())));
        Ok(all)
    }

    fn restore_crls(&mut self, desk: &Desk<'_>) -> anyhow::Result<()> {
        let mut kept = Vec::new();
        for (name, listing) in &self.listings {
            let Some(chain) = &listing.chain else { continue };
            let crl = desk.directory.read(name, Kept::Crl)?;
            let crl = crl.map(|der| VerifiedCrl::from_der(der, &chain.certificate)).transpose();
            let crl = crl.unwrap_or_else(|error| {
                log::error(format_args!("the kept CRL of CA {name}: {error}"));
                None
            });
            kept.push((name.clone(), chain.certificate.clone(), crl));
        }
        // Of two names for a CA, whoever wrote them there, the one with the newer CRL stays.
        kept.sort_by_key(|(_, _, crl)| Reverse(crl.as_ref().map(VerifiedCrl::number)));
        for (name, certificate, crl) in kept {
            if let Some(known) = self.of(&certificate) {
                log::warn(format_args!("CA {name} is dropped: it is CA {}", known.name()));
                self.listings.remove(&name);
                self.dropped.push(name);
                continue;
            }
            let crls = [crl, self.present.adopt(&certificate)];
            if let Some(crl) = crls.into_iter().flatten().max_by_key(VerifiedCrl::number) {
                self.known.insert(name.clone(), Authority::new(name, certificate, crl));
            }
        }
        Ok(())
    }

    /// Takes what the index says now.
    pub(crate) fn list(&mut self, listed: Vec<Listed>, options: &Options) {
        let now = Timestamp::now();
        self.is_listed = true;
        for listing in self.listings.values_mut().filter(|it| !it.is_root()) {
            listing.is_current = false;
        }
        for listed in listed {
            if let Some(listing) = self.listings.get_mut(&listed.name) {
                listing.moved(listed, now);
            } else {
                let name = listed.name.clone();
                self.listings.insert(name, Listing::new(listed, options.pause()));
            }
        }
        // A CA that it no longer names stays; a name of which nothing is known is nothing.
        let known = &self.known;
        self.listings.retain(|name, it| {
            let is_known =
                known.contains_key(name) || known.values().any(|authority| it.is_of(authority));
            it.is_current || it.is_kept || is_known
        });
    }

    /// Asks for what is due and was not asked for since `start`: a CA's certificate, and once that is there
    /// its CRL.
    pub(crate) fn ask(&mut self, transfers: &Transfers, start: Instant) {
        let now = Timestamp::now();
        for (name, listing) in &mut self.listings {
            if !listing.schedule.is_due(start) || listing.is_over(now) {
                continue;
            }
            let name = name.clone();
            let (purpose, request) = match &listing.chain {
                None => (Purpose::Chain(name), listing.chain_request()),
                Some(_) => (Purpose::Crl(name), listing.crl_request()),
            };
            listing.schedule.begin();
            transfers.ask(purpose, request);
        }
    }

    /// Takes a CA's certificate; whether the broker had a CRL of it.
    pub(crate) fn take_chain(
        &mut self,
        name: &str,
        fetched: anyhow::Result<Fetched>,
        desk: &Desk<'_>,
        counters: &mut Counters,
    ) -> bool {
        // The index may have dropped it meanwhile.
        let Some(listing) = self.listings.get_mut(name) else { return false };
        listing.schedule.proceed();
        let read = fetched.and_then(Listing::read_chain);
        let has_come = read.is_ok();
        match read.and_then(|chain| self.claim(name, chain, desk)) {
            // What it is asked for next is its CRL.
            Ok(has_crl) => has_crl,
            Err(error) => {
                counters.failures += 1;
                if let Some(listing) = self.listings.get_mut(name) {
                    listing.is_nobodys |= has_come && listing.chain.is_none();
                    listing.settle(Err(error));
                }
                false
            }
        }
    }

    /// Believes that this name is for the CA with this certificate, unless it is no CA of ours or has
    /// another name now.
    fn claim(&mut self, name: &str, chain: Chain, desk: &Desk<'_>) -> anyhow::Result<bool> {
        chain.lead_to(desk.roots)?;
        let certificate = chain.certificate.clone();
        let has_it = |it: &Listing| {
            it.chain.as_ref().is_some_and(|it| it.certificate.key() == certificate.key())
        };
        let rival = self.listings.iter().find(|(other, it)| *other != name && has_it(it));
        if let Some((rival, listing)) = rival {
            ensure!(!listing.is_current, "its certificate is that of CA {rival}");
            let rival = rival.clone();
            self.listings.remove(&rival);
        }
        self.listings.get_mut(name).context("a name")?.chain = Some(chain);
        match self.present.adopt(&certificate) {
            Some(crl) if self.of(&certificate).is_none() => {
                self.keep(name, crl, desk).map(|()| true)
            }
            _ => Ok(false),
        }
    }

    /// Takes a CA's CRL; whether it is a new one.
    pub(crate) fn take_crl(
        &mut self,
        name: &str,
        request: Request,
        fetched: anyhow::Result<Fetched>,
        desk: &Desk<'_>,
        counters: &mut Counters,
    ) -> bool {
        let now = Timestamp::now();
        if let Some(listing) = self.listings.get_mut(name) {
            listing.schedule.proceed();
        }
        let Some(listing) = self.listings.get(name) else { return false };
        let Some(chain) = &listing.chain else { return false };
        // The index may lead elsewhere meanwhile: then it is asked for there.
        let is_there = listing.is_at(&request);
        if fetched.is_err() && !is_there {
            return false;
        }
        let known = self.of(&chain.certificate);
        let answer = fetched.and_then(|it| Listing::read_crl(request, it, chain, known));
        let is_new = answer.as_ref().is_ok_and(|it| it.crl.is_some());
        let outcome = answer.and_then(|answer| {
            if let Some(crl) = answer.crl {
                self.take(name, crl, desk, now)?;
            }
            Ok(answer.etag.filter(|_| is_there))
        });
        let Some(listing) = self.listings.get_mut(name) else { return false };
        if !listing.settle(outcome) {
            counters.failures += 1;
            return false;
        }
        if let Some(authority) = self.known.values_mut().find(|it| listing.is_of(it)) {
            authority.checked(now);
        }
        counters.crls_taken += u64::from(is_new);
        is_new
    }

    fn take(
        &mut self,
        name: &str,
        crl: VerifiedCrl,
        desk: &Desk<'_>,
        now: Timestamp,
    ) -> anyhow::Result<()> {
        let chain = self.listings.get(name).and_then(|it| it.chain.as_ref());
        let known = chain.and_then(|it| self.of(&it.certificate));
        expect_better(&crl, known.map(Authority::crl), now)?;
        self.keep(name, crl, desk)
    }

    /// On the disk first: what the broker is told is never forgotten, and so never taken back.
    fn keep(&mut self, name: &str, crl: VerifiedCrl, desk: &Desk<'_>) -> anyhow::Result<()> {
        let chain = self.listings.get(name).and_then(|it| it.chain.as_ref()).context("a name")?;
        let known = self.of(&chain.certificate).map(|it| it.name().to_owned());
        let own = known.clone().unwrap_or_else(|| self.free_name(name));
        if known.is_none() && own != index::ROOT {
            desk.directory.keep(&own, Kept::Chain, chain.text().as_bytes())?;
        }
        desk.directory.keep(&own, Kept::Crl, crl.der())?;
        log::info(format_args!(
            "CA {own}: CRL {} with {} entries, valid until {}",
            crl.number(),
            crl.len(),
            crl.next_update()
        ));
        if let Some(authority) = self.known.get_mut(&own) {
            authority.take(crl);
        } else {
            let authority = Authority::new(own.clone(), chain.certificate.clone(), crl);
            self.known.insert(own, authority);
        }
        Ok(())
    }

    fn of(&self, certificate: &CaCertificate) -> Option<&Authority> {
        self.known.values().find(|it| it.is(certificate))
    }

    /// A name that no other CA has: by the index one may have come to it that it is not for.
    fn free_name(&self, name: &str) -> String {
        if !self.known.contains_key(name) {
            return name.to_owned();
        }
        let others = (2_u32..).map(|number| format!("{name:.50}-{number}"));
        others.into_iter().find(|it| !self.known.contains_key(it)).unwrap_or_default()
    }

    pub(crate) fn due(&self) -> Option<Instant> {
        let now = Timestamp::now();
        let listings = self.listings.values().filter(|it| !it.is_over(now));
        listings.filter_map(|it| it.schedule.due()).min()
    }

    pub(crate) fn known(&self) -> impl Iterator<Item = &Authority> {
        self.known.values()
    }

    /// Those whose certificates have not expired.
    pub(crate) fn in_force(&self, now: Timestamp) -> impl Iterator<Item = &Authority> {
        self.known.values().filter(move |it| !it.is_over(now))
    }

    /// The names of which nothing is known but what the index says.
    pub(crate) fn unknown(&self) -> impl Iterator<Item = &str> {
        let is_unknown = |it: &Listing| !self.known.values().any(|authority| it.is_of(authority));
        let unknown = self.listings.iter().filter(move |(_, it)| is_unknown(it));
        unknown.map(|(name, _)| name.as_str()).filter(|name| !self.known.contains_key(*name))
    }

    /// What is wrong, by name.
    pub(crate) fn problems(&self, now: Timestamp) -> impl Iterator<Item = (&str, &str)> {
        let listings = self.listings.iter().filter(move |(_, it)| !it.is_over(now));
        listings.filter_map(|(name, it)| Some((name.as_str(), it.schedule.problem()?)))
    }

    /// What has to be there before the broker's CRLs are touched.
    ///
    /// The broker may have a CRL of a CA of which nothing is known yet, and would refuse all of its
    /// devices without. It is waited for, but not for longer than that CRL is good, nor than a CA's can
    /// be. By naming CAs that there are not, somebody has such a CRL waited for, and nothing else.
    pub(crate) fn missing(&self, now: Timestamp) -> Option<&'static str> {
        if self.in_force(now).next().is_none() {
            return Some("there was no CRL yet: nothing is written");
        }
        let is_to_come = !self.is_listed || self.unknown().any(|name| !self.is_nobodys(name));
        let takes_away = is_to_come && self.present.is_in_force(now);
        takes_away
            .then_some("the broker has a CRL of a CA that is not known yet: nothing is written")
    }

    /// Whether nothing is to be expected of the name, whatever the index says.
    fn is_nobodys(&self, name: &str) -> bool {
        self.listings.get(name).is_some_and(|it| it.chain.is_none() && it.is_nobodys)
    }

    /// The broker has other CRLs now than there were at the start.
    pub(crate) fn written(&mut self) {
        self.present.forget();
    }

    /// Nothing of the CAs that were dropped is left at the broker.
    pub(crate) fn settled(&mut self, desk: &Desk<'_>) -> anyhow::Result<()> {
        for name in &self.dropped {
            if !self.known.contains_key(name) {
                desk.directory.forget(name)?;
            }
        }
        self.dropped.clear();
        Ok(())
    }
}
