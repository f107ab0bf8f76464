//! An entry of the index: where a CA's files are said to be. Which CA it is shows by its certificate.

use std::time::Duration;

use anyhow::bail;
use http::HeaderValue;
use pki::{
    authority::ChainCertificate,
    clock::Timestamp,
    crl::{CrlError, VerifiedCrl},
};

use crate::{
    authority::Authority,
    chain::Chain,
    directory::Directory,
    index::{self, Listed},
    schedule::Schedule,
    source::Fetched,
    transfers::Request,
};

const CHAIN_LIMIT: usize = 1 << 16;
/// Of a million entries and more.
const CRL_LIMIT: usize = 64 << 20;

/// What CAs' news are held against and kept in.
pub(crate) struct Desk<'a> {
    pub(crate) roots: &'a [ChainCertificate],
    pub(crate) directory: &'a Directory,
}

pub(crate) struct Listing {
    listed: Listed,
    /// Whether it is in the index now; what only was there claims nothing.
    pub(crate) is_current: bool,
    /// Whether an earlier run kept something of it.
    pub(crate) is_kept: bool,
    /// None, before it was fetched, and when it has to be again.
    pub(crate) chain: Option<Chain>,
    /// Whether what came instead was not a certificate of a CA of ours that it could be for.
    pub(crate) is_nobodys: bool,
    etag: Option<HeaderValue>,
    pub(crate) schedule: Schedule,
}

/// What was answered about a CRL.
pub(crate) struct Answer {
    /// None, if it is the one that is known.
    pub(crate) crl: Option<VerifiedCrl>,
    pub(crate) etag: Option<HeaderValue>,
}

impl Listing {
    /// As the index has it.
    pub(crate) fn new(listed: Listed, interval: Duration) -> Self {
        Self {
            listed,
            is_current: true,
            is_kept: false,
            chain: None,
            is_nobodys: false,
            etag: None,
            schedule: Schedule::new(interval),
        }
    }

    /// As an earlier run kept it.
    pub(crate) fn kept(name: &str, chain: Option<Chain>, interval: Duration) -> Self {
        // Where its files are the index says again, and until then this.
        let (crl, certificate) = (format!("/crl/{name}.crl"), format!("/ca/{name}.crt"));
        let listed = Listed { name: name.to_owned(), crl, certificate };
        Self { is_current: false, is_kept: true, chain, ..Self::new(listed, interval) }
    }

    /// The root, for its own CRL at this path.
    pub(crate) fn root(chain: Chain, path: &str, interval: Duration) -> Self {
        let (crl, none) = (path.to_owned(), String::new());
        let root = Listed { name: index::ROOT.to_owned(), crl, certificate: none };
        Self { chain: Some(chain), ..Self::new(root, interval) }
    }

    /// Where the index says now that its files are.
    pub(crate) fn moved(&mut self, listed: Listed, now: Timestamp) {
        if self.listed != listed {
            // What failed may have been about where it is not.
            self.schedule.hurry();
        }
        (self.listed, self.is_current) = (listed, true);
        if self.is_over(now) {
            // There may be another by now.
            self.chain = None;
        }
    }

    pub(crate) fn is_root(&self) -> bool {
        self.listed.name == index::ROOT
    }

    pub(crate) fn is_of(&self, authority: &Authority) -> bool {
        self.chain.as_ref().is_some_and(|it| authority.is(&it.certificate))
    }

    /// Whether its CA's certificate expired.
    pub(crate) fn is_over(&self, now: Timestamp) -> bool {
        self.chain.as_ref().is_some_and(|it| it.certificate.not_after() < now)
    }

    /// For its certificate and those above it; where they lead is still to be seen.
    pub(crate) fn chain_request(&self) -> Request {
        // Beside the certificate, with those between it and the root.
        let path = &self.listed.certificate;
        let path = format!("{}.pem", path.strip_suffix(".crt").unwrap_or(path));
        Request { path, known: None, limit: CHAIN_LIMIT }
    }

    pub(crate) fn crl_request(&self) -> Request {
        Request { path: self.listed.crl.clone(), known: self.etag.clone(), limit: CRL_LIMIT }
    }

    /// Whether it is still what its CRL is asked for by.
    pub(crate) fn is_at(&self, request: &Request) -> bool {
        self.listed.crl == request.path
    }

    /// What came for [`Listing::chain_request`].
    pub(crate) fn read_chain(fetched: Fetched) -> anyhow::Result<Chain> {
        let Fetched::Changed(document) = fetched else { bail!("no certificate") };
        Chain::read(document.body)
    }

    /// What came for [`Listing::crl_request`], of the CA in `chain`, of which `known` is known.
    pub(crate) fn read_crl(
        request: Request,
        fetched: Fetched,
        chain: &Chain,
        known: Option<&Authority>,
    ) -> anyhow::Result<Answer> {
        let Fetched::Changed(document) = fetched else {
            return Ok(Answer { crl: None, etag: request.known });
        };
        let etag = document.etag;
        if known.is_some_and(|it| it.crl().der() == document.body) {
            return Ok(Answer { crl: None, etag });
        }
        let crl = VerifiedCrl::from_der(document.body, &chain.certificate)?;
        Ok(Answer { crl: Some(crl), etag })
    }

    /// Takes down what came of it. The entity tag is of what was taken only: the rest is asked for
    /// again, and may have become good.
    pub(crate) fn settle(&mut self, outcome: anyhow::Result<Option<HeaderValue>>) -> bool {
        if let Err(error) = &outcome {
            let other = error.downcast_ref();
            let is_anothers = matches!(
                other,
                Some(CrlError::WrongSignature | CrlError::OtherIssuer | CrlError::OtherKey)
            );
            if is_anothers && !self.is_root() {
                // The index may have led to another CA's certificate before, or does now.
                self.chain = None;
            }
        }
        let settled = self.schedule.settle(outcome);
        let is_good = settled.is_some();
        if let Some(etag) = settled {
            self.etag = etag;
        }
        is_good
    }
}
