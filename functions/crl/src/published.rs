//! The published CRL of a CA and the published deny list, read back from the bucket and verified. The next CRL
//! is built on them, so that it never knows less.

use std::collections::BTreeSet;

use lambda::Result;
use ledger::bucket::{Bucket, Version};
use pki::{
    authority::Authority,
    crl::{VerifiedCrl, denied_digest},
    hex,
    names::DeviceId,
    profile::Usage,
};

use crate::objects;

/// The files of a CA as published.
pub(crate) struct Published {
    /// The CRL, if there is one and it is intact.
    pub(crate) crl: Option<VerifiedCrl>,
    /// The version of the CRL's object.
    pub(crate) crl_version: Version,
    /// The deny list, if the CA issues to devices.
    pub(crate) deny_list: Option<PublishedDenyList>,
    /// The reasons why a file cannot be used.
    pub(crate) damaged: Vec<String>,
}

/// The deny list as published.
pub(crate) struct PublishedDenyList {
    /// All devices that are published as denied: in the list that the CRL names, and in the one under the fixed
    /// key, which another CA's publication may have replaced since.
    pub(crate) devices: BTreeSet<DeviceId>,
    /// The version of the list under the fixed key.
    pub(crate) version: Version,
    /// The digest of the list under the fixed key, if it exists.
    pub(crate) digest: Option<[u8; 32]>,
    /// The version of the access rules.
    pub(crate) rules_version: Version,
    /// The digest of the list that the access rules were made from.
    pub(crate) rules_digest: String,
}

impl Published {
    /// Reads what is published for `ca`. Damaged files count as absent.
    pub(crate) async fn read(bucket: &Bucket, ca: &Authority) -> Result<Self> {
        let mut damaged = Vec::new();
        let mut deny_list = match ca.name().usage() {
            Usage::Device => Some(PublishedDenyList::read(bucket, &mut damaged).await?),
            Usage::Server | Usage::Service => None,
        };
        let key = objects::crl_key(ca.name().as_str());
        let (der, crl_version) = bucket.get(&key).await?;
        let crl = der.and_then(|der| match VerifiedCrl::from_der(der, ca.certificate()) {
            Ok(crl) => Some(crl),
            Err(error) => {
                damaged.push(format!("{key}: {error}"));
                None
            }
        });
        if let Some(list) = &mut deny_list
            && let Some(digest) = crl.as_ref().and_then(VerifiedCrl::denied_devices)
            && list.digest != Some(*digest)
        {
            list.add_named(bucket, digest, &mut damaged).await?;
        }
        Ok(Self { crl, crl_version, deny_list, damaged })
    }
}

impl PublishedDenyList {
    /// Reads the list under the fixed key.
    async fn read(bucket: &Bucket, damaged: &mut Vec<String>) -> Result<Self> {
        // The rules are read before the list and written after it. So whoever replaces the list in between
        // makes the write of the rules fail.
        let rules = bucket.head(objects::MOSQUITTO_RULES).await?;
        let (text, version) = bucket.get(objects::DENIED_DEVICES).await?;
        let mut list = Self {
            devices: BTreeSet::new(),
            version,
            digest: text.as_deref().map(denied_digest),
            rules_digest: rules.as_ref().map_or_else(String::new, |rules| rules.content.clone()),
            rules_version: rules.map_or_else(Version::default, |rules| rules.version),
        };
        if let Some(text) = text {
            list.add(objects::DENIED_DEVICES, &text, damaged);
        }
        Ok(list)
    }

    /// Adds the devices of the list that the CRL names by its digest.
    async fn add_named(
        &mut self,
        bucket: &Bucket,
        digest: &[u8; 32],
        damaged: &mut Vec<String>,
    ) -> Result<()> {
        let key = objects::denied_devices_key(&hex(digest));
        match bucket.get(&key).await?.0 {
            Some(text) if denied_digest(&text) == *digest => self.add(&key, &text, damaged),
            Some(_) => damaged.push(format!("{key}: not the list that the CRL names")),
            None => damaged.push(format!("{key}: missing, although the CRL names it")),
        }
        Ok(())
    }

    fn add(&mut self, key: &str, text: &[u8], damaged: &mut Vec<String>) {
        let lines = text.split(|octet| *octet == b'\n').filter(|line| !line.is_empty());
        let mut faults = 0;
        for line in lines {
            match std::str::from_utf8(line).ok().and_then(|line| line.parse().ok()) {
                Some(device) => drop(self.devices.insert(device)),
                None => faults += 1,
            }
        }
        if faults > 0 {
            damaged.push(format!("{key}: {faults} lines are not device ids"));
        }
    }
}
