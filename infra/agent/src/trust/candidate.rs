//! A CA name from the index, and the documents published under it.
//!
//! The name proves nothing: the certificate shows which CA it is.

use std::time::Duration;

use anyhow::bail;
use http::HeaderValue;
use pki::{
    clock::Timestamp,
    crl::{CrlError, VerifiedCrl},
};

use super::{chain::Chain, verified_ca::VerifiedCa};
use crate::{
    ca_name,
    published::{Fetched, IndexEntry, Request, Schedule},
};

const CHAIN_LIMIT: usize = 1 << 16;
/// Room for more than a million entries.
const CRL_LIMIT: usize = 64 << 20;

pub(crate) struct Candidate {
    entry: IndexEntry,
    /// True if the current index lists the name. Only a listed name can keep its CA from another name.
    pub(crate) is_listed: bool,
    /// True if an earlier run saved documents under the name.
    pub(crate) is_saved: bool,
    /// The verified chain; `None` until it is downloaded, or if it has to be downloaded again.
    pub(crate) chain: Option<Chain>,
    /// True once a chain was downloaded that the name could not claim.
    pub(crate) is_rejected: bool,
    crl_etag: Option<HeaderValue>,
    pub(crate) schedule: Schedule,
}

/// The parsed response to a CRL request.
pub(crate) struct CrlResponse {
    /// `None` if the known CRL is current.
    pub(crate) crl: Option<VerifiedCrl>,
    pub(crate) etag: Option<HeaderValue>,
}

impl Candidate {
    /// Creates a candidate from the index.
    pub(crate) fn new(entry: IndexEntry, interval: Duration) -> Self {
        Self {
            entry,
            is_listed: true,
            is_saved: false,
            chain: None,
            is_rejected: false,
            crl_etag: None,
            schedule: Schedule::new(interval),
        }
    }

    /// Creates a candidate from the files that an earlier run saved.
    pub(crate) fn restored(name: &str, chain: Option<Chain>, interval: Duration) -> Self {
        // The usual paths, until the index names them.
        let (crl, certificate) = (format!("/crl/{name}.crl"), format!("/ca/{name}.crt"));
        let entry = IndexEntry { name: name.to_owned(), crl, certificate };
        Self { is_listed: false, is_saved: true, chain, ..Self::new(entry, interval) }
    }

    /// Creates the candidate for the root's own CRL, published at `path`.
    pub(crate) fn root(chain: Chain, path: &str, interval: Duration) -> Self {
        let (crl, certificate) = (path.to_owned(), String::new());
        let entry = IndexEntry { name: ca_name::ROOT.to_owned(), crl, certificate };
        Self { chain: Some(chain), ..Self::new(entry, interval) }
    }

    /// Applies the current index entry.
    pub(crate) fn update(&mut self, entry: IndexEntry, now: Timestamp) {
        if self.entry != entry {
            // An earlier failure may concern the old paths.
            self.schedule.expedite();
        }
        (self.entry, self.is_listed) = (entry, true);
        if self.has_expired(now) {
            // The name may belong to a successor by now.
            self.chain = None;
        }
    }

    pub(crate) fn is_root(&self) -> bool {
        self.entry.name == ca_name::ROOT
    }

    /// Returns true if the candidate's certificate has the authority's key.
    pub(crate) fn is_for(&self, authority: &VerifiedCa) -> bool {
        self.chain.as_ref().is_some_and(|it| authority.has_key_of(&it.certificate))
    }

    /// Returns true if the CA's certificate has expired.
    pub(crate) fn has_expired(&self, now: Timestamp) -> bool {
        self.chain.as_ref().is_some_and(|it| it.certificate.not_after() < now)
    }

    pub(crate) fn chain_request(&self) -> Request {
        // The chain is published beside the certificate.
        let path = &self.entry.certificate;
        let path = format!("{}.pem", path.strip_suffix(".crt").unwrap_or(path));
        Request { path, known: None, limit: CHAIN_LIMIT }
    }

    pub(crate) fn crl_request(&self) -> Request {
        Request { path: self.entry.crl.clone(), known: self.crl_etag.clone(), limit: CRL_LIMIT }
    }

    /// Returns true if the index still names the path of this CRL request.
    pub(crate) fn is_current(&self, request: &Request) -> bool {
        self.entry.crl == request.path
    }

    /// Parses the response to [`Candidate::chain_request`].
    pub(crate) fn parse_chain(fetched: Fetched) -> anyhow::Result<Chain> {
        let Fetched::Changed(document) = fetched else { bail!("the source sent no certificate") };
        Chain::parse(document.body)
    }

    /// Verifies the response to [`Candidate::crl_request`] against the CA's certificate.
    pub(crate) fn verify_crl(
        request: Request,
        fetched: Fetched,
        chain: &Chain,
        known: Option<&VerifiedCa>,
    ) -> anyhow::Result<CrlResponse> {
        let Fetched::Changed(document) = fetched else {
            return Ok(CrlResponse { crl: None, etag: request.known });
        };
        let etag = document.etag;
        if known.is_some_and(|it| it.crl().der() == document.body) {
            return Ok(CrlResponse { crl: None, etag });
        }
        let crl = VerifiedCrl::from_der(document.body, &chain.certificate)?;
        Ok(CrlResponse { crl: Some(crl), etag })
    }

    /// Records the outcome of a CRL request. Returns true if it succeeded.
    ///
    /// Only an accepted CRL's entity tag is stored: a rejected one is downloaded again, since it
    /// may become valid.
    pub(crate) fn finish(&mut self, outcome: anyhow::Result<Option<HeaderValue>>) -> bool {
        if let Err(error) = &outcome {
            let is_of_other_ca = matches!(
                error.downcast_ref::<CrlError>(),
                Some(CrlError::WrongSignature | CrlError::WrongIssuer | CrlError::WrongKey)
            );
            if is_of_other_ca && !self.is_root() {
                // The index may name another CA's certificate now, or have done so before.
                self.chain = None;
            }
        }
        let Some(etag) = self.schedule.finish(outcome) else { return false };
        self.crl_etag = etag;
        true
    }
}
