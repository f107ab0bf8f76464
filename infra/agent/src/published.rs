//! Downloads the published documents: the index of CAs, certificate chains, CRLs and deny lists.
//!
//! Nothing here is trusted yet, except that a deny list matches the digest that it was requested
//! by.

pub(crate) mod index;

mod base_url;
mod deny_list;
mod schedule;
mod source;
mod transfers;

pub(crate) use base_url::BaseUrl;
pub(crate) use deny_list::Digest;
pub(crate) use index::IndexEntry;
pub(crate) use schedule::{IN_PROGRESS, Schedule};
pub(crate) use source::{Fetched, Request, Source};
pub(crate) use transfers::{Purpose, TransferResult, Transfers};
