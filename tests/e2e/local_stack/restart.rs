//! A stack continues where it was, after an orderly stop or a crash.

use std::time::Instant;

use anyhow::{Context as _, ensure};
use birthcert_local::stack::StackInfo;
use birthcert_tests::api::{Enrolled, Released};
use birthcert_tests::stack::{Stack, spawn};
use ledger::store::LedgerEntry;
use pki::authority::AuthorityRecord;
use tempfile::TempDir;
use tokio::time::sleep;

use super::setup::works;

pub(super) fn tests() -> Vec<crate::suite::StandaloneTest> {
    crate::suite::standalone![
        a_restart_keeps_everything,
        a_killed_stack_takes_kms_with_it_and_comes_back,
        a_first_start_that_is_killed_is_finished_by_the_next,
    ]
}

/// State that a restart must preserve.
struct Before {
    state: StackInfo,
    authorities: [AuthorityRecord; 2],
    device: Enrolled,
    identity: Released,
    digests: Vec<String>,
}

impl Before {
    async fn new(stack: &Stack) -> anyhow::Result<Self> {
        let (device, identity) = stack.new_device().await?;
        Ok(Self {
            state: stack.state.clone(),
            authorities: [stack.authority("device").await?, stack.authority("server").await?],
            device,
            identity,
            digests: stack.signed_except_crls().await?,
        })
    }

    async fn check(&self, stack: &Stack) -> anyhow::Result<()> {
        let (old, new) = (&self.state, &stack.state);
        ensure!(old.project_id == new.project_id && old.enrollment_token == new.enrollment_token);
        ensure!(old.root_certificate == new.root_certificate);
        ensure!(old.table_name == new.table_name && old.region == new.region);
        for record in &self.authorities {
            ensure!(stack.authority(record.name.as_str()).await? == *record);
        }
        ensure!(stack.own_store()?.projects(None).await?.len() == 1);
        ensure!(stack.own_store()?.tokens(stack.project()).await?.len() == 1);
        ensure!(stack.signed_except_crls().await? == self.digests, "the journal changed");

        let again = stack.api.released(&self.device).await?;
        stack.check(&self.device, &again).await?;
        let entries = stack.own_store()?.device_certificates(self.device.device_id).await?;
        let live = |entry: &LedgerEntry| entry.superseded_at.is_none();
        ensure!(entries.len() == 2, "{entries:?}");
        let find = |serial: &str| entries.iter().find(|entry| entry.serial_number == serial);
        let old = find(&self.identity.serial_number).context("the old one is on the ledger")?;
        ensure!(!live(old) && old.revoked_at.is_some(), "not superseded: {old:?}");
        ensure!(find(&again.serial_number).is_some_and(live));
        stack.new_device().await.map(drop)
    }
}

async fn a_restart_keeps_everything() -> anyhow::Result<()> {
    let scratch = TempDir::new()?;
    let data = scratch.path().join("stack");
    let stack = Stack::start(&data).await?;
    let before = Before::new(&stack).await?;
    stack.stop().await?;
    let stack = Stack::start(&data).await?;
    before.check(&stack).await?;
    stack.stop().await
}

async fn a_killed_stack_takes_kms_with_it_and_comes_back() -> anyhow::Result<()> {
    let scratch = TempDir::new()?;
    let data = scratch.path().join("stack");
    let stack = Stack::start(&data).await?;
    let before = Before::new(&stack).await?;
    stack.kill().await?;
    let stack = Stack::start(&data).await?;
    before.check(&stack).await?;
    stack.stop().await
}

async fn a_first_start_that_is_killed_is_finished_by_the_next() -> anyhow::Result<()> {
    const KILLS: u32 = 8;
    let scratch = TempDir::new()?;
    let started = Instant::now();
    Stack::start(&scratch.path().join("whole")).await?.kill().await?;
    let whole = started.elapsed();

    let often = scratch.path().join("killed often");
    for number in 0..KILLS {
        let delay = whole * number / KILLS;
        let once = scratch.path().join(format!("killed after {delay:?}"));
        for data in [&once, &often] {
            let (mut child, _logs) = spawn(data, "127.0.0.1:0")?;
            sleep(delay).await;
            child.kill().await?;
        }
        works(&once).await.with_context(|| once.display().to_string())?;
    }
    works(&often).await.context("killed often")
}
