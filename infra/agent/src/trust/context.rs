//! The context in which CA documents are verified and stored.

use pki::authority::ChainCertificate;

use crate::disk::DataDirectory;

pub(crate) struct TrustContext<'a> {
    pub(crate) roots: &'a [ChainCertificate],
    pub(crate) directory: &'a DataDirectory,
}
