//! The triggers of the CRL function: polling for CRL requests in place of the table's stream, and a
//! timer in place of the schedule.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use crl::Publisher;
use lambda::stream::Trigger;
use ledger::store::Store;
use tokio::time::sleep;

/// The polling interval. Lambda polls a stream four times per second.
const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// The delay before a failed invocation is repeated.
const RETRY_DELAY: Duration = Duration::from_secs(5);
/// The interval of the schedule in template.yaml.
const SCHEDULE_INTERVAL: Duration = Duration::from_secs(60 * 60);

/// Invokes the CRL function for requests and on schedule until `shutdown` completes.
pub(super) async fn run(store: Store, crl: Publisher, shutdown: impl Future<Output = ()>) {
    let triggers = async {
        // Empty, so that requests from before the start are handled first.
        let mut handled: Vec<(String, u64)> = Vec::new();
        let mut due = Instant::now() + SCHEDULE_INTERVAL;
        loop {
            if Instant::now() >= due {
                let done = crl.handle(Trigger::Schedule).await.is_ok();
                due = Instant::now() + if done { SCHEDULE_INTERVAL } else { RETRY_DELAY };
            }
            sleep(POLL_INTERVAL).await;
            let Ok(requests) = store.crl_requests().await else {
                continue;
            };
            let changed = requests.iter().filter(|request| !handled.contains(request));
            let changed: BTreeSet<_> = changed.map(|(ca, _)| ca.clone()).collect();
            if changed.is_empty() {
                continue;
            }
            match crl.handle(Trigger::Changes(changed)).await {
                Ok(()) => handled = requests,
                // The function has logged the error.
                Err(_) => sleep(RETRY_DELAY).await,
            }
        }
    };
    tokio::select! {
        () = triggers => {}
        () = shutdown => {}
    }
}
