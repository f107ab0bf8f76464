//! Reconciles the broker with its desired state: installs its files and has the broker apply them.

use std::time::Instant;

use anyhow::bail;
use pki::names::DeviceId;

use super::{
    broker::Broker,
    desired_state::{BrokerFiles, DesiredState},
};
use crate::{
    counters::Counters,
    disk::{DataDirectory, FileStat, Fingerprint, Installer, fingerprint, remove_stale_crls},
    log,
    published::Schedule,
};

pub(crate) struct Reconciler {
    broker: Broker,
    /// The rendered files; `None` until they are rendered.
    rendered: Option<BrokerFiles>,
    /// The fingerprint of the rendered files and the denied devices.
    desired: Option<Fingerprint>,
    /// The operator's file as it was when the files were rendered.
    operator_file: Option<FileStat>,
    installer: Installer,
    is_in_place: bool,
    /// The fingerprint that the broker applied last.
    applied: Option<Fingerprint>,
    applied_at: Option<Instant>,
    schedule: Schedule,
}

impl Reconciler {
    pub(crate) fn new(
        broker: Broker,
        schedule: Schedule,
        directory: &DataDirectory,
    ) -> anyhow::Result<Self> {
        // A damaged fingerprint has another length, and counts as nothing applied.
        let applied = directory.read_applied()?.and_then(|it| it.try_into().ok());
        Ok(Self {
            broker,
            rendered: None,
            desired: None,
            operator_file: None,
            installer: Installer::default(),
            is_in_place: false,
            applied,
            applied_at: None,
            schedule,
        })
    }

    /// Returns true if the broker has applied the complete desired state.
    pub(crate) fn is_applied(&self) -> bool {
        let is_complete = self.rendered.as_ref().is_some_and(|it| it.error.is_none());
        is_complete && self.desired.is_some() && self.applied == self.desired
    }

    /// Returns true if all files are installed, so that a broker may be started.
    pub(crate) fn is_in_place(&self) -> bool {
        self.is_in_place
    }

    pub(crate) fn broker(&self) -> &Broker {
        &self.broker
    }

    pub(crate) fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// Skips a round: files written now could revoke less than the broker's current ones.
    pub(crate) fn hold(&mut self) {
        self.rendered = None;
        self.schedule.finish(Ok(()));
    }

    /// Reconciles the broker if that is due or the desired state is changed.
    pub(crate) async fn reconcile(
        &mut self,
        desired: &DesiredState<'_>,
        is_changed: bool,
        directory: &DataDirectory,
        counters: &mut Counters,
    ) {
        if is_changed || self.schedule.is_due(Instant::now()) {
            let outcome = self.try_reconcile(desired, is_changed, directory, counters).await;
            self.schedule.finish(outcome);
        }
    }

    async fn try_reconcile(
        &mut self,
        desired: &DesiredState<'_>,
        is_changed: bool,
        directory: &DataDirectory,
        counters: &mut Counters,
    ) -> anyhow::Result<()> {
        let operator_file = self.broker.operator_file().and_then(FileStat::of);
        let is_current = |it: &BrokerFiles| {
            !is_changed && operator_file == self.operator_file && it.error.is_none()
        };
        let rendered = self.rendered.take().filter(is_current);
        let rendered = rendered.unwrap_or_else(|| self.broker.files(desired));
        let BrokerFiles { files, error } = self.rendered.insert(rendered);
        let fingerprint = fingerprint(files, desired.denied);
        (self.operator_file, self.desired) = (operator_file, Some(fingerprint));
        if files.is_empty()
            && let Some(error) = error
        {
            bail!("{error:#}");
        }

        let missing = self.installer.missing(files)?;
        if !missing.is_empty() || self.applied != Some(fingerprint) {
            // Cleared before the first write, so that an interrupted run is resumed.
            self.applied = None;
            directory.remove_applied()?;
        }
        if !missing.is_empty() {
            self.is_in_place = false;
            for file in missing {
                self.installer.install(file)?;
            }
            counters.installs += 1;
        }
        self.is_in_place = error.is_none();
        let error = error.as_ref().map(|error| format!("{error:#}"));

        if self.applied.is_none() {
            remove_stale_crls(&directory.file("crls"), files)?;
            self.apply(desired.denied, counters).await?;
            directory.save_applied(&fingerprint)?;
            self.applied = Some(fingerprint);
            let (broker, denied) = (self.broker.name(), desired.denied.len());
            if error.is_none() {
                log::info(format_args!("{broker} is up to date; {denied} devices are denied"));
            }
        } else if self.is_reapply_due() {
            self.apply(desired.denied, counters).await?;
        }
        error.map_or(Ok(()), |error| Err(anyhow::Error::msg(error)))
    }

    fn is_reapply_due(&self) -> bool {
        let has_passed = |interval| self.applied_at.is_none_or(|at| at.elapsed() >= interval);
        self.broker.reapply_interval().is_some_and(has_passed)
    }

    async fn apply(&mut self, denied: &[DeviceId], counters: &mut Counters) -> anyhow::Result<()> {
        let outcome = self.broker.apply(denied).await;
        match outcome {
            Ok(()) => {
                counters.reloads += 1;
                self.applied_at = Some(Instant::now());
            }
            Err(_) => counters.reload_failures += 1,
        }
        outcome
    }
}
