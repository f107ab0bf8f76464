//! Deny lists, published under their digests at `denied/<SHA-256>.txt`.

use anyhow::{bail, ensure};
use pki::{crl::denied_digest, hex};

use super::source::{Fetched, Request, Source};

/// Room for two million devices.
const LIMIT: usize = 64 << 20;

/// The SHA-256 digest by which a CRL names a deny list.
pub(crate) type Digest = [u8; 32];

/// Downloads a deny list and checks it against its digest.
pub(super) async fn fetch(digest: &Digest, source: &Source) -> anyhow::Result<Vec<u8>> {
    let request =
        Request { path: format!("denied/{}.txt", hex(digest)), known: None, limit: LIMIT };
    let Fetched::Changed(document) = source.fetch(&request).await? else {
        bail!("the source sent no deny list");
    };
    let is_named = denied_digest(&document.body) == *digest;
    ensure!(is_named, "{} does not match the digest in the CRL", request.path);
    Ok(document.body)
}
