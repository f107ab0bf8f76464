//! Doing the same to one device or to many.

use std::{fmt, time::Duration};

use futures_util::{StreamExt, stream};
use ledger::{Error, store::RevocationOutcome};
use pki::{names::DeviceId, profile::Usage};
use serde::{Serialize, Serializer};

use super::targets::Targets;
use crate::{Context, crl::Requests, exit::Stop, progress};

/// How often one device is tried where the store is busy.
const ATTEMPTS: u32 = 5;
/// How many devices or failures a text lists; the JSON has all.
const SHOWN: usize = 20;

/// What is done, in words.
#[derive(Clone, Copy)]
pub(crate) struct Verb {
    /// As in "to revoke".
    pub(crate) verb: &'static str,
    /// As in "it is revoked".
    pub(crate) done: &'static str,
}

#[derive(Serialize)]
struct Single {
    device_id: DeviceId,
    #[serde(flatten)]
    stamped: StampedView,
    #[serde(skip)]
    done: &'static str,
}

#[derive(Serialize)]
struct StampedView {
    changed: bool,
    certificates: usize,
}

/// What would be done.
#[derive(Serialize)]
struct Plan {
    dry_run: bool,
    selected: usize,
    devices: Vec<DeviceId>,
    #[serde(skip)]
    verb: &'static str,
}

/// What was done.
#[derive(Default, Serialize)]
struct Summary {
    selected: usize,
    changed: usize,
    unchanged: usize,
    certificates: usize,
    failures: Vec<Failure>,
    /// Left out after the store was away.
    untried: usize,
    #[serde(skip)]
    done: &'static str,
}

#[derive(Serialize)]
struct Failure {
    device_id: DeviceId,
    #[serde(serialize_with = "as_text")]
    error: Error,
}

fn as_text<S: Serializer>(error: &Error, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(error)
}

impl Targets {
    /// Does `act` to each device, once the operator has agreed.
    pub(super) async fn carry_out<F, Fut>(
        self,
        context: &Context,
        Verb { verb, done }: Verb,
        act: F,
    ) -> anyhow::Result<()>
    where
        F: Fn(DeviceId) -> Fut,
        Fut: Future<Output = ledger::Result<RevocationOutcome>>,
    {
        let requests = Requests::of(context, Usage::Device);
        if let Some(device_id) = self.device() {
            self.confirm().ask(&format!("{verb} {device_id}"))?;
            let RevocationOutcome { changed, certificates } = act(device_id).await?;
            requests.ask().await?;
            let stamped = StampedView { changed, certificates };
            return context.output.print(&Single { device_id, stamped, done });
        }
        let (yes, concurrency) = (self.yes(), self.concurrency());
        let devices = self.devices(context).await?;
        if !yes {
            let plan = Plan { dry_run: true, selected: devices.len(), devices, verb };
            return context.output.print(&plan);
        }
        let meanwhile = || requests.meanwhile();
        let summary = all(devices, concurrency, done, act, meanwhile).await;
        let asked = requests.ask().await;
        context.output.print(&summary)?;
        asked.and(summary.into_result())
    }
}

async fn all<F, Fut>(
    devices: Vec<DeviceId>,
    concurrency: usize,
    done: &'static str,
    act: F,
    meanwhile: impl AsyncFn(),
) -> Summary
where
    F: Fn(DeviceId) -> Fut,
    Fut: Future<Output = ledger::Result<RevocationOutcome>>,
{
    let progress = progress::bar(devices.len(), "devices");
    let mut summary = Summary { selected: devices.len(), done, ..Summary::default() };
    let act = &act;
    let mut outcomes = stream::iter(devices)
        .map(|device_id| async move { (device_id, patiently(|| act(device_id)).await) })
        .buffer_unordered(concurrency);
    while let Some((device_id, outcome)) = outcomes.next().await {
        progress.inc(1);
        meanwhile().await;
        match outcome {
            Ok(RevocationOutcome { changed, certificates }) => {
                summary.changed += usize::from(changed);
                summary.unchanged += usize::from(!changed);
                summary.certificates += certificates;
            }
            Err(error) => {
                // What is wrong with the store is wrong for every device.
                let is_over = matches!(error, Error::Unavailable { .. } | Error::Refused { .. });
                summary.failures.push(Failure { device_id, error });
                if is_over {
                    break;
                }
            }
        }
    }
    progress.finish_and_clear();
    let tried = summary.changed + summary.unchanged + summary.failures.len();
    summary.untried = summary.selected - tried;
    summary
}

/// Waits where the store is busy, as it is with many writes to one of its partitions.
async fn patiently<F, Fut>(act: F) -> ledger::Result<RevocationOutcome>
where
    F: Fn() -> Fut,
    Fut: Future<Output = ledger::Result<RevocationOutcome>>,
{
    for attempt in 1..ATTEMPTS {
        match act().await {
            Err(Error::Throttled { .. } | Error::Contended) => {
                tokio::time::sleep(Duration::from_millis(200 << attempt)).await;
            }
            outcome => return outcome,
        }
    }
    act().await
}

impl Summary {
    fn into_result(self) -> anyhow::Result<()> {
        let Self { selected, changed, unchanged, failures, .. } = self;
        match selected - changed - unchanged {
            0 => Ok(()),
            // Nothing was done at all: it failed, and the first error says why.
            left if left == selected && !failures.is_empty() => {
                let first = failures.into_iter().next().map(|it| it.error);
                Err(first.map_or_else(|| anyhow::anyhow!("nothing was done"), Into::into))
            }
            left => Err(Stop::Partial(format!(
                "{left} of {selected} devices are left: the same command again goes on with them"
            ))
            .into()),
        }
    }
}

impl fmt::Display for Single {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { device_id, stamped, done } = self;
        match stamped.changed {
            true => write!(f, "{device_id} is {done}; certificates: {}", stamped.certificates),
            false => write!(f, "{device_id} is {done} already"),
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { selected, devices, verb, .. } = self;
        for device_id in devices.iter().take(SHOWN) {
            writeln!(f, "{device_id}")?;
        }
        if let Some(more @ 1..) = selected.checked_sub(SHOWN) {
            writeln!(f, "and {more} more")?;
        }
        match selected {
            0 => write!(f, "There is no such device."),
            n => write!(f, "Nothing was done. With --yes this would {verb} {n} devices."),
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Failure { device_id, error } in self.failures.iter().take(SHOWN) {
            writeln!(f, "{device_id} failed: {error}")?;
        }
        if let Some(more @ 1..) = self.failures.len().checked_sub(SHOWN) {
            writeln!(f, "and {more} more failed")?;
        }
        let Self { changed, certificates, unchanged, untried, done, failures, .. } = self;
        writeln!(f, "{done}: {changed} devices, with {certificates} certificates")?;
        writeln!(f, "already so: {unchanged}")?;
        write!(f, "failed: {}, not tried: {untried}", failures.len())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use getrandom::{SysRng, rand_core::UnwrapErr};

    use super::*;

    fn devices(number: usize) -> Vec<DeviceId> {
        (0..number).map(|_| DeviceId::generate(&mut UnwrapErr(SysRng))).collect()
    }

    #[tokio::test]
    async fn no_more_at_once_than_told_and_every_one_is_counted() {
        let (running, most) = (Cell::new(0), Cell::new(0));
        let ids = devices(20);
        let (running, most, bad) = (&running, &most, ids[3]);
        let act = |id: DeviceId| async move {
            running.set(running.get() + 1);
            most.set(most.get().max(running.get()));
            tokio::task::yield_now().await;
            running.set(running.get() - 1);
            if id == bad {
                return Err(ledger::OperatorError::Missing("device".into()).into());
            }
            Ok(RevocationOutcome { changed: true, certificates: 2 })
        };
        let summary = all(ids, 4, "revoked", act, async || {}).await;
        assert_eq!(most.get(), 4);
        assert_eq!((summary.changed, summary.certificates, summary.untried), (19, 38, 0));
        assert_eq!(summary.failures[0].device_id, bad);
        assert!(summary.into_result().unwrap_err().is::<Stop>());
    }

    #[tokio::test]
    async fn a_store_that_refuses_is_not_asked_ten_thousand_times() {
        let asked = Cell::new(0);
        let asked = &asked;
        let act = |_| async move {
            asked.set(asked.get() + 1);
            let cause = "AccessDenied".into();
            Err(Error::Refused { service: ledger::aws::AwsService::DynamoDb, cause })
        };
        let summary = all(devices(1000), 4, "revoked", act, async || {}).await;
        assert!(asked.get() <= 8, "{}", asked.get());
        assert_eq!(summary.untried, 999);
    }
}
