//! A publisher of CRLs and deny lists, whose CAs have their keys in memory.

use std::collections::BTreeMap;

use pki::clock::Timestamp;
use pki::crl::{BACKDATED_SECONDS, Contents, Entry, VALIDITY_SECONDS, VerifiedCrl, denied_digest};
use pki::hex;
use pki::names::DeviceId;
use serde_json::json;

use crate::agent::publication_server::PublicationServer;
use crate::pki::ca::Ca;

/// A publisher of CRLs and of the denied devices.
pub struct Publisher {
    /// The root.
    pub root: Ca,
    /// The CAs by name, with their keys.
    pub authorities: Vec<(&'static str, Ca)>,
    /// The revoked certificates of each CA.
    pub revoked: BTreeMap<&'static str, Vec<Entry>>,
    /// The denied devices.
    pub denied: Vec<DeviceId>,
    /// A text to publish in place of the denied devices.
    pub deny_list: Option<String>,
    /// The number of the last CRLs.
    pub number: u64,
    /// The validity of CRLs, in seconds.
    pub validity: u64,
    /// The server with the published files.
    pub publication: PublicationServer,
}

impl Publisher {
    /// Publishes the certificates of these CAs, and their first, empty CRLs.
    ///
    /// # Errors
    /// If no port is free.
    pub async fn start(root: Ca, authorities: Vec<(&'static str, Ca)>) -> anyhow::Result<Self> {
        let publication = PublicationServer::start().await?;
        let mut publisher = Self {
            root,
            authorities,
            revoked: BTreeMap::new(),
            denied: Vec::new(),
            deny_list: None,
            number: 0,
            validity: VALIDITY_SECONDS,
            publication,
        };
        publisher.publish_authorities();
        publisher.publish();
        Ok(publisher)
    }

    /// Returns the CA of this name.
    ///
    /// # Panics
    /// If there is no such CA.
    pub fn ca(&self, name: &str) -> &Ca {
        &self.authorities.iter().find(|(it, _)| *it == name).expect("a CA").1
    }

    /// Publishes the index and the certificates.
    pub fn publish_authorities(&self) {
        let mut listed = Vec::new();
        for (name, ca) in &self.authorities {
            let (crl, certificate) = (format!("/crl/{name}.crl"), format!("/ca/{name}.crt"));
            self.publication.put(&certificate[1..], ca.certificate.der().to_vec());
            let chain = format!("{}{}", ca.certificate.pem(), self.root.certificate.pem());
            self.publication.put(&format!("ca/{name}.pem"), chain);
            listed.push(json!({
                "name": name, "usage": "device", "status": "active",
                "crl": crl, "certificate": certificate,
            }));
        }
        let index = json!({ "authorities": listed }).to_string();
        self.publication.put("ca/index.json", index);
    }

    /// Publishes the deny list, and all CRLs with the next number.
    pub fn publish(&mut self) {
        self.publication.put(&self.deny_list_path(), self.deny_list());
        self.publish_crls();
    }

    /// Publishes all CRLs with the next number, but not the deny list that they name.
    pub fn publish_crls(&mut self) {
        self.number += 1;
        for (name, _) in &self.authorities {
            let crl = self.crl(name, self.number, 0);
            self.publication.put(&format!("crl/{name}.crl"), crl.der().to_vec());
        }
    }

    /// Returns the path of the deny list.
    pub fn deny_list_path(&self) -> String {
        format!("denied/{}.txt", hex(&denied_digest(self.deny_list().as_bytes())))
    }

    /// Returns a CRL that is `age` seconds old, without publishing it.
    pub fn crl(&self, name: &str, number: u64, age: u64) -> VerifiedCrl {
        let now = Timestamp::now().minus(BACKDATED_SECONDS + age);
        let mut revoked = self.revoked.get(name).cloned().unwrap_or_default();
        revoked.sort_by_key(|entry| entry.serial);
        self.ca(name).crl(Contents {
            number,
            this_update: now,
            next_update: now.plus(BACKDATED_SECONDS + self.validity),
            revoked: &revoked,
            denied_devices: Some(denied_digest(self.deny_list().as_bytes())),
            distribution_point: None,
        })
    }

    /// Returns the deny list.
    pub fn deny_list(&self) -> String {
        if let Some(list) = &self.deny_list {
            return list.clone();
        }
        let mut lines: Vec<_> = self.denied.iter().map(|id| format!("{id}\n")).collect();
        lines.sort();
        lines.concat()
    }
}
