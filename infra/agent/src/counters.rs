//! Event counts since the agent started.

use serde::Serialize;

#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Counters {
    /// New CRLs accepted.
    pub(crate) crls_taken: u64,
    /// Downloads of CRLs and certificate chains that failed or were rejected.
    pub(crate) failures: u64,
    /// Writes of the broker's files.
    pub(crate) installs: u64,
    /// Successful broker reloads.
    pub(crate) reloads: u64,
    pub(crate) reload_failures: u64,
}
