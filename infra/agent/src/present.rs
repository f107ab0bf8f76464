//! The CRLs that the broker has already: what an agent that lost its state goes on from, and what it
//! must not take away.

use std::{fs, mem};

use birthcert::{
    authority::CaCertificate,
    clock::Timestamp,
    crl::{VerifiedCrl, claimed_end},
};
use der::pem;

use crate::directory::Directory;

/// Those of them that are of no CA that is known, in DER.
pub(crate) struct Present(Vec<Vec<u8>>);

impl Present {
    /// What there is. A file that cannot be read, or half of one, is nothing that a broker could use.
    pub(crate) fn read(directory: &Directory) -> Self {
        const END: &str = "-----END X509 CRL-----";
        let folder = fs::read_dir(directory.file("crls")).into_iter().flatten().flatten();
        let files = folder.map(|file| file.path()).chain([directory.file("crl.pem")]);
        let mut all = Vec::new();
        for text in files.filter_map(|file| fs::read_to_string(file).ok()) {
            let lists = text.split_inclusive(END).map(|list| list.trim_start().as_bytes());
            all.extend(lists.filter_map(|list| Some(pem::decode_vec(list).ok()?.1)));
        }
        Self(all)
    }

    /// Takes out those of `ca`; the one that it signed last.
    pub(crate) fn adopt(&mut self, ca: &CaCertificate) -> Option<VerifiedCrl> {
        let mut newest: Option<VerifiedCrl> = None;
        for der in mem::take(&mut self.0) {
            match VerifiedCrl::from_der(der.clone(), ca) {
                Ok(crl) if newest.as_ref().is_none_or(|it| it.number() < crl.number()) => {
                    newest = Some(crl);
                }
                Ok(_) => {}
                Err(_) => self.0.push(der),
            }
        }
        newest
    }

    /// Whether one is left by which a broker may still let somebody in.
    pub(crate) fn is_in_force(&self, now: Timestamp) -> bool {
        self.0.iter().any(|der| claimed_end(der).is_ok_and(|end| end >= now))
    }

    pub(crate) fn forget(&mut self) {
        self.0.clear();
    }
}
