//! The documents that the agent downloads, from a source that it does not trust.

use birthcert_agent::untrusted;
use pki::authority::ChainCertificate;

use crate::fuzz::ca::CA;

/// Tries one input.
pub fn agent(data: &[u8]) {
    for [name, crl, certificate] in untrusted::index(data).into_iter().flatten() {
        assert!(!name.contains(['/', '.']));
        for path in [crl, certificate] {
            assert!(!path.contains("..") && !path.starts_with("//") && !path.contains(':'));
        }
    }
    if let Ok(list) = untrusted::deny_list(data) {
        assert_eq!(untrusted::deny_list(&list).ok(), Some(list));
    }
    let _ = untrusted::chain(data, ChainCertificate::clone(&CA));
}
