//! The CA of all schedules, made once per process, and the roles of the functions.

use std::sync::Arc;

use birthcert_cli::root::{KeyFilePassphrase, NewRoot, Root, RootKey};
use birthcert_local::kms::Kms;
use birthcert_local::stack::REGION;
use pki::authority::{Authority, AuthorityRecord, CaCertificate};
use pki::clock::Timestamp;
use pki::profile::Usage;
use tempfile::TempDir;
use tokio::sync::mpsc::unbounded_channel;

use crate::env::{YEAR, subordinate};
use crate::faults::clock;
use crate::faults::config::config;
use crate::faults::history::History;
use crate::faults::roles::Roles;
use crate::faults::wire::Wire;

/// The parts that all schedules of a process share.
pub struct Fixture {
    pub(super) kms: Arc<Kms>,
    pub(super) authority: AuthorityRecord,
    pub(super) ca: CaCertificate,
    pub(super) roles: Roles,
    /// The time at which each schedule begins.
    pub(super) started_at: Timestamp,
    _scratch: TempDir,
}

impl Fixture {
    /// Makes the CA, in a ceremony like any other.
    ///
    /// # Errors
    /// If the ceremony fails, or template.yaml cannot be read.
    pub fn make() -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(Self::make_async())
    }

    async fn make_async() -> anyhow::Result<Self> {
        let scratch = TempDir::new()?;
        let kms = Kms::open(scratch.path().join("kms"), REGION.into()).await?;
        let kms = Arc::new(kms);
        let started_at = Timestamp::now();
        clock::start(started_at);
        let wire = Wire::new(kms.clone(), Arc::new(History::default()), unbounded_channel().0)?;
        let directory = scratch.path().join("ca");
        let key = RootKey::make_file(&directory, KeyFilePassphrase::Random("of fault schedules"))?;
        let root = Root::create(&directory, key, &NewRoot::lasting("Test root"), started_at)?;
        let seconds = 60 * YEAR;
        let authority =
            subordinate(&config(&wire, 0), &root, "device", Usage::Device, started_at, seconds)
                .await?;
        let ca = Authority::try_from(authority.clone())?.certificate().clone();
        let roles = Roles::of_template(&authority.key_arn)?;
        Ok(Self { kms, authority, ca, roles, started_at, _scratch: scratch })
    }
}
