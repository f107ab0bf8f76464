//! One CA: its certificate, which chains to the pinned root, and its last good CRL, after which none
//! is taken that is older.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use birthcert::{
    authority::{AnyCa, CaCertificate, chain},
    clock::Timestamp,
    crl::{Freshness, VerifiedCrl},
};
use http::HeaderValue;

use crate::{
    directory::{Directory, Kept},
    index::{self, Listed},
    log,
    schedule::Schedule,
    source::{Fetched, Source},
};

const CHAIN_LIMIT: usize = 1 << 16;
/// Of a million entries and more.
const CRL_LIMIT: usize = 64 << 20;

/// What a CA's news are taken from and kept in.
pub(crate) struct Desk<'a> {
    pub(crate) source: &'a Source,
    pub(crate) roots: &'a [AnyCa],
    pub(crate) directory: &'a Directory,
}

pub(crate) struct Authority {
    name: String,
    chain_path: String,
    crl_path: String,
    certificate: Option<CaCertificate>,
    crl: Option<VerifiedCrl>,
    etag: Option<HeaderValue>,
    schedule: Schedule,
    checked_at: Option<Timestamp>,
    is_damaged: bool,
}

impl Authority {
    /// A CA of which nothing is known but what the index says.
    pub(crate) fn listed(listed: Listed, interval: Duration) -> Self {
        Self {
            chain_path: chain_path(&listed),
            name: listed.name,
            crl_path: listed.crl,
            certificate: None,
            crl: None,
            etag: None,
            schedule: Schedule::new(interval),
            checked_at: None,
            is_damaged: false,
        }
    }

    /// The root, for its own CRL.
    pub(crate) fn root(certificate: CaCertificate, path: &str, interval: Duration) -> Self {
        let (crl, none) = (path.to_owned(), String::new());
        let root = Listed { name: index::ROOT.to_owned(), crl, certificate: none };
        Self { certificate: Some(certificate), ..Self::listed(root, interval) }
    }

    /// With what an earlier run kept of it, as far as that still verifies.
    pub(crate) fn restored(mut self, desk: &Desk<'_>) -> anyhow::Result<Self> {
        let name = &self.name;
        if self.certificate.is_none()
            && let Some(der) = desk.directory.read(name, Kept::Chain)?
        {
            match certificate(&der, desk.roots) {
                Ok(certificate) => self.certificate = Some(certificate),
                Err(error) => {
                    log::error(format_args!("the kept certificate of CA {name}: {error:#}"))
                }
            }
        }
        if let Some(der) = desk.directory.read(name, Kept::Crl)? {
            let crl = self.certificate.as_ref().map(|ca| VerifiedCrl::from_der(der, ca));
            match crl {
                Some(Ok(crl)) => self.crl = Some(crl),
                Some(Err(error)) => log::error(format_args!("the kept CRL of CA {name}: {error}")),
                None => {}
            }
            self.is_damaged = self.crl.is_none();
        }
        Ok(self)
    }

    /// Where the index says now that its files are.
    pub(crate) fn moved(&mut self, listed: Listed) {
        (self.chain_path, self.crl_path) = (chain_path(&listed), listed.crl);
    }

    /// Asks for its CRL, if it is time; none, if it is not or if that failed, or else whether there is
    /// a new one.
    pub(crate) async fn poll(&mut self, desk: &Desk<'_>) -> Option<bool> {
        if !self.schedule.is_due() {
            return None;
        }
        let outcome = self.refresh(desk).await;
        let is_new = self.schedule.settle(outcome)?;
        self.checked_at = Some(Timestamp::now());
        if is_new && let Some(crl) = &self.crl {
            log::info(format_args!(
                "CA {}: CRL {} with {} entries, valid until {}",
                self.name,
                crl.number(),
                crl.len(),
                crl.next_update()
            ));
        }
        Some(is_new)
    }

    async fn refresh(&mut self, desk: &Desk<'_>) -> anyhow::Result<bool> {
        let ca = match &self.certificate {
            Some(certificate) => certificate,
            None => {
                let fetched = desk.source.fetch(&self.chain_path, None, CHAIN_LIMIT).await?;
                let Fetched::Changed(document) = fetched else { bail!("no certificate") };
                let read = certificate(&document.body, desk.roots)?;
                desk.directory.keep(&self.name, Kept::Chain, &document.body)?;
                self.certificate.insert(read)
            }
        };
        let fetched = desk.source.fetch(&self.crl_path, self.etag.as_ref(), CRL_LIMIT).await?;
        let Fetched::Changed(document) = fetched else { return Ok(false) };
        let is_new = self.crl.as_ref().is_none_or(|crl| crl.der() != document.body);
        if is_new {
            let crl = VerifiedCrl::from_der(document.body, ca)?;
            expect_better(&crl, self.crl.as_ref(), Timestamp::now())?;
            // On the disk first: what the broker is told is never forgotten, and so never taken back.
            desk.directory.keep(&self.name, Kept::Crl, crl.der())?;
            self.crl = Some(crl);
            self.is_damaged = false;
        }
        // Only of what was taken: the rest is asked for again, and may have become good.
        self.etag = document.etag;
        Ok(is_new)
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn certificate(&self) -> Option<&CaCertificate> {
        self.certificate.as_ref()
    }

    pub(crate) fn crl(&self) -> Option<&VerifiedCrl> {
        self.crl.as_ref()
    }

    pub(crate) fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// When it was last known that there is no newer CRL, or taken the new one.
    pub(crate) fn checked_at(&self) -> Option<Timestamp> {
        self.checked_at
    }

    /// Whether there was a CRL that cannot be read any more: without one, the broker would refuse all of
    /// this CA's devices.
    pub(crate) fn is_damaged(&self) -> bool {
        self.is_damaged
    }

    /// Whether nothing of it matters any more: its certificate expired, and with it all that it
    /// issued.
    pub(crate) fn is_over(&self, now: Timestamp) -> bool {
        self.certificate.as_ref().is_some_and(|it| it.not_after() < now)
    }
}

/// Beside the certificate, with those between it and the root.
fn chain_path(listed: &Listed) -> String {
    let path = &listed.certificate;
    format!("{}.pem", path.strip_suffix(".crt").unwrap_or(path))
}

/// The CA whose certificate is the first in `chain`, if there is a way from it to one of the roots
/// through what follows.
fn certificate(chain: &[u8], roots: &[AnyCa]) -> anyhow::Result<CaCertificate> {
    const END: &str = "-----END CERTIFICATE-----\n";
    let text = str::from_utf8(chain).context("its chain is no text")?;
    let first = text.split_inclusive(END).next().unwrap_or_default();
    let ca = CaCertificate::from_pem(first).map_err(anyhow::Error::msg);
    let ca = ca.context("its certificate")?;
    let way = |root: &AnyCa| {
        let mut above = chain::between(&ca, root, text)?;
        above.push(root.clone());
        chain::verify(&ca, &above)
    };
    let mut faults = Vec::new();
    for root in roots {
        match way(root) {
            Ok(()) => return Ok(ca),
            Err(fault) => faults.push(fault),
        }
    }
    bail!("its certificate does not lead to the root: {}", faults.join("; "))
}

/// Brokers take an older CRL that is still valid, and refuse everyone by one that is not valid.
fn expect_better(
    new: &VerifiedCrl,
    known: Option<&VerifiedCrl>,
    now: Timestamp,
) -> anyhow::Result<()> {
    if let Some(known) = known {
        let (number, last) = (new.number(), known.number());
        ensure!(number != last, "another CRL of the number {last}, which is taken");
        ensure!(number > last, "an old CRL, {number}: {last} was there already");
    }
    match new.freshness(now) {
        Freshness::Fresh => Ok(()),
        Freshness::NotYet => bail!("CRL {} is valid from {} on", new.number(), new.this_update()),
        Freshness::Stale => bail!("CRL {} expired {}", new.number(), new.next_update()),
    }
}
