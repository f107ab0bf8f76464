//! The broker's side: files as they should be, and a broker that has read them.

use std::time::Instant;

use anyhow::bail;
use pki::names::DeviceId;

use crate::{
    brokers::{Broker, Desired, Outputs},
    directory::Directory,
    files::Stamp,
    installer::{self, Fingerprint, Installer},
    log,
    schedule::Schedule,
    status::Counters,
};

pub(crate) struct Enforcer {
    broker: Broker,
    /// None before the first time.
    outputs: Option<Outputs>,
    /// What the broker is to be told, as far as there are files for it.
    desired: Option<Fingerprint>,
    /// The operator's file at the time that the outputs were made.
    made_of: Option<Stamp>,
    installer: Installer,
    is_in_place: bool,
    /// What the broker was told last.
    applied: Option<Fingerprint>,
    told_at: Option<Instant>,
    schedule: Schedule,
}

impl Enforcer {
    pub(crate) fn new(
        broker: Broker,
        schedule: Schedule,
        directory: &Directory,
    ) -> anyhow::Result<Self> {
        // Of another length: written by nobody we know, and so nothing that was applied.
        let applied = directory.read_applied()?.and_then(|it| it.try_into().ok());
        Ok(Self {
            broker,
            outputs: None,
            desired: None,
            made_of: None,
            installer: Installer::default(),
            is_in_place: false,
            applied,
            told_at: None,
            schedule,
        })
    }

    /// Whether the broker was told all that there is.
    pub(crate) fn is_applied(&self) -> bool {
        let is_whole = self.outputs.as_ref().is_some_and(|it| it.lacking.is_none());
        is_whole && self.desired.is_some() && self.applied == self.desired
    }

    /// Whether the broker's files are there, for a broker that is still to be started.
    pub(crate) fn is_in_place(&self) -> bool {
        self.is_in_place
    }

    pub(crate) fn broker(&self) -> &Broker {
        &self.broker
    }

    pub(crate) fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// Does nothing for now: what there is may be less than what the broker has.
    pub(crate) fn wait(&mut self) {
        self.outputs = None;
        self.schedule.settle(Ok(()));
    }

    /// Brings the broker to what is desired, if it is time or `is_new` says that it changed.
    pub(crate) async fn enforce(
        &mut self,
        desired: &Desired<'_>,
        is_new: bool,
        directory: &Directory,
        counters: &mut Counters,
    ) {
        if is_new || self.schedule.is_due(Instant::now()) {
            let outcome = self.settle(desired, is_new, directory, counters).await;
            self.schedule.settle(outcome);
        }
    }

    async fn settle(
        &mut self,
        desired: &Desired<'_>,
        is_new: bool,
        directory: &Directory,
        counters: &mut Counters,
    ) -> anyhow::Result<()> {
        let made_of = self.broker.made_of().and_then(Stamp::of);
        let is_as_before =
            |it: &Outputs| !is_new && made_of == self.made_of && it.lacking.is_none();
        let outputs = self.outputs.take().filter(is_as_before);
        let outputs = outputs.unwrap_or_else(|| self.broker.outputs(desired));
        let Outputs { files, lacking } = self.outputs.insert(outputs);
        let fingerprint = installer::fingerprint(files, desired.denied);
        (self.made_of, self.desired) = (made_of, Some(fingerprint));
        if files.is_empty()
            && let Some(error) = lacking
        {
            bail!("{error:#}");
        }

        let missing = self.installer.missing(files)?;
        if !missing.is_empty() || self.applied != Some(fingerprint) {
            // First: what the broker was told is no longer all, whenever this is cut short.
            self.applied = None;
            directory.forget_applied()?;
        }
        if !missing.is_empty() {
            self.is_in_place = false;
            for output in missing {
                self.installer.put(output)?;
            }
            counters.installs += 1;
        }
        self.is_in_place = lacking.is_none();
        let lacking = lacking.as_ref().map(|error| format!("{error:#}"));

        if self.applied.is_none() {
            installer::sweep(&directory.file("crls"), files)?;
            self.tell(desired.denied, counters).await?;
            directory.keep_applied(&fingerprint)?;
            self.applied = Some(fingerprint);
            let (broker, denied) = (self.broker.name(), desired.denied.len());
            if lacking.is_none() {
                log::info(format_args!("{broker} has it all; {denied} devices are denied"));
            }
        } else if self.is_to_be_told_again() {
            self.tell(desired.denied, counters).await?;
        }
        lacking.map_or(Ok(()), |error| Err(anyhow::Error::msg(error)))
    }

    fn is_to_be_told_again(&self) -> bool {
        let is_past = |after| self.told_at.is_none_or(|at| at.elapsed() >= after);
        self.broker.again().is_some_and(is_past)
    }

    async fn tell(&mut self, denied: &[DeviceId], counters: &mut Counters) -> anyhow::Result<()> {
        let outcome = self.broker.enforce(denied).await;
        match outcome {
            Ok(()) => {
                counters.reloads += 1;
                self.told_at = Some(Instant::now());
            }
            Err(_) => counters.reload_failures += 1,
        }
        outcome
    }
}
