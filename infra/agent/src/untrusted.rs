//! The parsers of what an untrusted source publishes, for the project's fuzz targets.

use std::collections::BTreeSet;

use pki::authority::ChainCertificate;

use crate::{
    published::index,
    trust::{Chain, DeniedDevices},
};

/// Parses an index of CAs. Returns the name and the two paths of each.
///
/// # Errors
/// If it is not a valid index.
pub fn index(text: &[u8]) -> anyhow::Result<Vec<[String; 3]>> {
    let entries = index::parse(text)?.into_iter();
    Ok(entries.map(|entry| [entry.name, entry.crl, entry.certificate]).collect())
}

/// Parses a deny list. Returns it as the agent saves it.
///
/// # Errors
/// If it is not a valid list.
pub fn deny_list(text: &[u8]) -> anyhow::Result<Vec<u8>> {
    Ok(DeniedDevices::from_lists(BTreeSet::new(), &[text.to_vec()])?.to_list())
}

/// Parses a certificate chain and verifies that it leads to `root`.
///
/// # Errors
/// If it is not a valid chain, or leads elsewhere.
pub fn chain(text: &[u8], root: ChainCertificate) -> anyhow::Result<()> {
    let chain = Chain::parse(text.to_vec())?;
    chain.issuers().for_each(drop);
    chain.verify(&[root])
}
