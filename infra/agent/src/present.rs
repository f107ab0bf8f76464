//! The CRLs that the broker has already: what an agent that lost its state goes on from, and what it
//! must not take away.

use std::{fs, mem};

use der::{Encode as _, pem};
use pki::{
    authority::CaCertificate,
    clock::Timestamp,
    crl::{VALIDITY_SECONDS, VerifiedCrl, claimed_end, claimed_issuer},
};
use x509_cert::name::Name;

use crate::directory::Directory;

/// Those of them that are of no CA that is known.
pub(crate) struct Present {
    /// In DER.
    lists: Vec<Vec<u8>>,
    /// When every CA's has expired: a longer one was made by hand, such as a root's.
    until: Timestamp,
}

impl Present {
    /// What there is. A file that cannot be read, or half of one, is nothing that a broker could use.
    pub(crate) fn read(directory: &Directory, now: Timestamp) -> Self {
        const END: &str = "-----END X509 CRL-----";
        let folder = fs::read_dir(directory.file("crls")).into_iter().flatten().flatten();
        let files = folder.map(|file| file.path()).chain([directory.file("crl.pem")]);
        let mut lists = Vec::new();
        for text in files.filter_map(|file| fs::read_to_string(file).ok()) {
            let parts = text.split_inclusive(END).map(|part| part.trim_start().as_bytes());
            lists.extend(parts.filter_map(|part| Some(pem::decode_vec(part).ok()?.1)));
        }
        Self { lists, until: now.plus(VALIDITY_SECONDS) }
    }

    /// Takes out those of `ca`; the one that it signed last.
    pub(crate) fn adopt(&mut self, ca: &CaCertificate) -> Option<VerifiedCrl> {
        let mut newest: Option<VerifiedCrl> = None;
        for der in mem::take(&mut self.lists) {
            match VerifiedCrl::from_der(der.clone(), ca) {
                Ok(crl) if newest.as_ref().is_none_or(|it| it.number() < crl.number()) => {
                    newest = Some(crl);
                }
                Ok(_) => {}
                Err(_) => self.lists.push(der),
            }
        }
        newest
    }

    /// Takes out those of these names, whoever signed them.
    pub(crate) fn take_out<'a>(&mut self, issuers: impl Iterator<Item = &'a Name>) {
        let issuers: Vec<_> = issuers.filter_map(|it| it.to_der().ok()).collect();
        let is_of_them = |der: &[u8]| claimed_issuer(der).is_ok_and(|it| issuers.contains(&it));
        self.lists.retain(|der| !is_of_them(der));
    }

    /// Whether one is left by which a broker may still let somebody in.
    pub(crate) fn is_in_force(&self, now: Timestamp) -> bool {
        let is_good = |der: &Vec<u8>| claimed_end(der).is_ok_and(|end| end >= now);
        now <= self.until && self.lists.iter().any(is_good)
    }

    pub(crate) fn forget(&mut self) {
        self.lists.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::str::FromStr as _;

    use tempfile::TempDir;

    use super::*;

    /// Of `CN=Root`, made by hand for a hundred years.
    const ROOTS: &str = "\
-----BEGIN X509 CRL-----
MIHJMHECAQEwCgYIKoZIzj0EAwIwDzENMAsGA1UEAwwEUm9vdBcNMjYxMTI5MTg0
MTQ2WhgPMjEyNjExMDUxODQxNDZaoC8wLTAfBgNVHSMEGDAWgBR956+Fu7UBLf1i
xH+o41GDDsaAFzAKBgNVHRQEAwIBATAKBggqhkjOPQQDAgNIADBFAiEA1yFyEmrk
DcJfHyPsVr5xnxlTD5gUwxp0CQ6x8UZ3/eQCICeTq32FrHMdbnw/G9RUSu4FPXq2
S59DGjH2ZwmMIhQS
-----END X509 CRL-----
";

    #[test]
    fn a_list_made_by_hand_is_in_force_no_longer_than_a_cas() {
        let now = Timestamp::now();
        let present = present(now);
        assert!(present.is_in_force(now));
        assert!(present.is_in_force(now.plus(VALIDITY_SECONDS)));
        assert!(!present.is_in_force(now.plus(VALIDITY_SECONDS + 1)));
    }

    #[test]
    fn those_of_a_name_are_taken_out() {
        let now = Timestamp::now();
        let mut present = present(now);
        let [ours, other] = ["CN=Root", "CN=Root 2"].map(|it| Name::from_str(it).unwrap());
        present.take_out([&other].into_iter());
        assert!(present.is_in_force(now));
        present.take_out([&other, &ours].into_iter());
        assert!(!present.is_in_force(now));
    }

    fn present(now: Timestamp) -> Present {
        let folder = TempDir::new().unwrap();
        let directory = Directory::open(folder.path()).unwrap();
        fs::write(directory.file("crl.pem"), ROOTS).unwrap();
        Present::read(&directory, now)
    }
}
