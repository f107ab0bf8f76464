//! Publishes the CAs' certificates and the index of all CAs, in which agents find the CRLs to follow.

use lambda::Result;
use ledger::{
    bucket::{Bucket, Object},
    store::AuthorityState,
};
use pki::{
    authority::{AuthorityStatus, Roots},
    hex,
};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::objects;

#[derive(Serialize)]
struct Index {
    authorities: Vec<IndexEntry>,
}

#[derive(Serialize)]
struct IndexEntry {
    name: String,
    usage: &'static str,
    status: AuthorityStatus,
    crl: String,
    certificate: String,
}

/// Publishes the certificate and the chain of each CA, then the index. Writes only what changed.
pub(crate) async fn publish(
    bucket: &Bucket,
    roots: &Roots,
    authorities: &[AuthorityState],
) -> Result<()> {
    let mut entries = Vec::new();
    for AuthorityState { record, status, .. } in authorities {
        // The round over the CRLs has logged the error of a CA that cannot be used.
        let Ok(ca) = roots.admit(record.clone()) else {
            continue;
        };
        let name = ca.name().to_string();
        let chain = format!("{}{}", ca.chain_pem(), ca.root_pem());
        let certificate = objects::ca_certificate(&name, ca.certificate().der().to_vec());
        put_if_changed(bucket, certificate).await?;
        put_if_changed(bucket, objects::ca_chain(&name, chain)).await?;
        entries.push(IndexEntry {
            usage: ca.name().usage().as_str(),
            status: *status,
            crl: format!("/crl/{name}.crl"),
            certificate: format!("/ca/{name}.crt"),
            name,
        });
    }
    let index = serde_json::to_vec_pretty(&Index { authorities: entries })?;
    put_if_changed(bucket, objects::ca_index(index)).await
}

async fn put_if_changed(bucket: &Bucket, object: Object) -> Result<()> {
    let digest = hex(&Sha256::digest(&object.body));
    Ok(bucket.put_if_changed(&object, &digest).await?)
}
