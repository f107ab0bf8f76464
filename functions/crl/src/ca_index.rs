//! The CAs' certificates, and the list of all CAs by which an agent finds whose lists matter.

use lambda::Result;
use ledger::{bucket::Object, store::KnownAuthority};
use pki::{authority::AuthorityStatus, hex};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::{Publisher, objects};

#[derive(Serialize)]
struct Index {
    authorities: Vec<Listed>,
}

#[derive(Serialize)]
struct Listed {
    name: String,
    usage: &'static str,
    status: AuthorityStatus,
    crl: String,
    certificate: String,
}

impl Publisher {
    /// Publishes what changed of it.
    pub(crate) async fn publish_catalogue(&self, known: &[KnownAuthority]) -> Result<()> {
        let mut authorities = Vec::new();
        for KnownAuthority { record, status, .. } in known {
            // One that cannot be used has failed already, with more words.
            let Ok(ca) = self.roots.admit(record.clone()) else {
                continue;
            };
            let name = ca.name().to_string();
            let chain = format!("{}{}", ca.chain_pem(), ca.root_pem());
            self.put(objects::certificate(&name, ca.certificate().der().to_vec())).await?;
            self.put(objects::chain(&name, chain)).await?;
            authorities.push(Listed {
                usage: ca.name().usage().as_str(),
                status: *status,
                crl: format!("/crl/{name}.crl"),
                certificate: format!("/ca/{name}.crt"),
                name,
            });
        }
        self.put(objects::index(serde_json::to_vec_pretty(&Index { authorities })?)).await
    }

    async fn put(&self, object: Object) -> Result<()> {
        let digest = hex(&Sha256::digest(&object.body));
        Ok(self.bucket.put_if_other(&object, &digest).await?)
    }
}
