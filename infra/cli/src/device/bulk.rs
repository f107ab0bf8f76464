//! An action on one device or on several.

use std::{fmt, time::Duration};

use futures_util::{StreamExt, stream};
use ledger::{Error, store::RevocationOutcome};
use pki::{names::DeviceId, profile::Usage};
use serde::{Serialize, Serializer};

use super::targets::Targets;
use crate::{context::Context, crl::CrlRequests, error::CommandError, output::progress};

/// Number of attempts for a device while DynamoDB is busy.
const ATTEMPTS: u32 = 5;
/// Number of devices or failures in text; JSON lists all.
const SHOWN: usize = 20;

/// The words for an action.
#[derive(Clone, Copy)]
pub(crate) struct Action {
    /// The imperative, such as "revoke".
    pub(crate) verb: &'static str,
    /// The participle, such as "revoked".
    pub(crate) done: &'static str,
}

#[derive(Serialize)]
struct Single {
    device_id: DeviceId,
    changed: bool,
    certificates: usize,
    #[serde(skip)]
    done: &'static str,
}

/// The result of a dry run.
#[derive(Serialize)]
struct Preview {
    dry_run: bool,
    selected: usize,
    devices: Vec<DeviceId>,
    #[serde(skip)]
    verb: &'static str,
}

/// The result for several devices.
#[derive(Default, Serialize)]
struct Summary {
    selected: usize,
    changed: usize,
    unchanged: usize,
    certificates: usize,
    failures: Vec<Failure>,
    /// The number of devices not attempted, after DynamoDB became unavailable or refused.
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
    /// Applies `act` to each device, after confirmation.
    pub(super) async fn apply<F, Fut>(
        self,
        context: &Context,
        Action { verb, done }: Action,
        act: F,
    ) -> anyhow::Result<()>
    where
        F: Fn(DeviceId) -> Fut,
        Fut: Future<Output = ledger::Result<RevocationOutcome>>,
    {
        let requests = CrlRequests::new(context, Usage::Device);
        if let Some(device_id) = self.device() {
            self.confirm().ask(&format!("{verb} {device_id}"))?;
            // A failure may have changed something before.
            let outcome = act(device_id).await;
            let requested = requests.send().await;
            let RevocationOutcome { changed, certificates } = outcome?;
            requested?;
            return context.output.print(&Single { device_id, changed, certificates, done });
        }
        let (yes, concurrency) = (self.yes(), self.concurrency());
        let devices = self.devices(context).await?;
        if !yes {
            let preview = Preview { dry_run: true, selected: devices.len(), devices, verb };
            return context.output.print(&preview);
        }
        let after_each = || requests.send_at_intervals();
        let summary = apply_to_all(devices, concurrency, done, act, after_each).await;
        let requested = requests.send().await;
        context.output.print(&summary)?;
        requested.and(summary.into_result())
    }
}

async fn apply_to_all<F, Fut>(
    devices: Vec<DeviceId>,
    concurrency: usize,
    done: &'static str,
    act: F,
    after_each: impl AsyncFn(),
) -> Summary
where
    F: Fn(DeviceId) -> Fut,
    Fut: Future<Output = ledger::Result<RevocationOutcome>>,
{
    let progress = progress::bar(devices.len(), "devices");
    let mut summary = Summary { selected: devices.len(), done, ..Summary::default() };
    let act = &act;
    let mut outcomes = stream::iter(devices)
        .map(|device_id| async move { (device_id, with_retries(|| act(device_id)).await) })
        .buffer_unordered(concurrency);
    while let Some((device_id, outcome)) = outcomes.next().await {
        progress.inc(1);
        after_each().await;
        match outcome {
            Ok(RevocationOutcome { changed, certificates }) => {
                summary.changed += usize::from(changed);
                summary.unchanged += usize::from(!changed);
                summary.certificates += certificates;
            }
            Err(error) => {
                // These errors would repeat for every device.
                let is_fatal = matches!(error, Error::Unavailable { .. } | Error::Refused { .. });
                summary.failures.push(Failure { device_id, error });
                if is_fatal {
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

/// Retries while DynamoDB is busy, as it is after many writes to one partition.
async fn with_retries<F, Fut>(act: F) -> ledger::Result<RevocationOutcome>
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
            // No device succeeded: report the first error.
            left if left == selected && !failures.is_empty() => {
                let first = failures.into_iter().next().map(|it| it.error);
                Err(first.map_or_else(|| anyhow::anyhow!("nothing was done"), Into::into))
            }
            left => Err(CommandError::Partial(format!(
                "{left} of {selected} devices remain: rerun the same command to continue"
            ))
            .into()),
        }
    }
}

impl fmt::Display for Single {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { device_id, changed, certificates, done } = self;
        match changed {
            true => write!(f, "{device_id} is {done}; certificates: {certificates}"),
            false => write!(f, "{device_id} is already {done}"),
        }
    }
}

impl fmt::Display for Preview {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { selected, devices, verb, .. } = self;
        for device_id in devices.iter().take(SHOWN) {
            writeln!(f, "{device_id}")?;
        }
        if let Some(more @ 1..) = selected.checked_sub(SHOWN) {
            writeln!(f, "and {more} more")?;
        }
        match selected {
            0 => write!(f, "No device matches."),
            n => write!(f, "Dry run: nothing was done. With --yes, this would {verb} {n} devices."),
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
        writeln!(f, "already {done}: {unchanged}")?;
        write!(f, "failed: {}, not attempted: {untried}", failures.len())
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
    async fn the_concurrency_is_limited_and_every_device_is_counted() {
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
        let summary = apply_to_all(ids, 4, "revoked", act, async || {}).await;
        assert_eq!(most.get(), 4);
        assert_eq!((summary.changed, summary.certificates, summary.untried), (19, 38, 0));
        assert_eq!(summary.failures[0].device_id, bad);
        assert!(summary.into_result().unwrap_err().is::<CommandError>());
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
        let summary = apply_to_all(devices(1000), 4, "revoked", act, async || {}).await;
        assert!(asked.get() <= 8, "{}", asked.get());
        assert_eq!(summary.untried, 999);
    }
}
