//! What calls the publisher of CRLs: in the place of the table's stream, a look at the requests in the
//! table; and the clock, in the place of the schedule.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use crl::Crl;
use lambda::stream::Trigger;
use ledger::store::Store;
use tokio::time::sleep;

/// Lambda reads a table's stream four times a second.
const POLL: Duration = Duration::from_millis(250);
/// Between two tries for what failed.
const RETRY: Duration = Duration::from_secs(5);
/// As template.yaml has it.
const SCHEDULE: Duration = Duration::from_secs(60 * 60);

/// Calls the publisher as its requests and the time come, until `shutdown`.
pub(crate) async fn follow(store: Store, crl: Crl, shutdown: impl Future<Output = ()>) {
    let follow = async {
        // Nothing: what was asked for while nobody followed is looked at first.
        let mut seen: Vec<(String, u64)> = Vec::new();
        let mut due = Instant::now() + SCHEDULE;
        loop {
            if Instant::now() >= due {
                let done = crl.handle(Trigger::Time).await.is_ok();
                due = Instant::now() + if done { SCHEDULE } else { RETRY };
            }
            sleep(POLL).await;
            let Ok(now) = store.crl_requests().await else {
                continue;
            };
            let changed = now.iter().filter(|request| !seen.contains(request));
            let changed: BTreeSet<_> = changed.map(|(ca, _)| ca.clone()).collect();
            if changed.is_empty() {
                continue;
            }
            match crl.handle(Trigger::Changes(changed)).await {
                Ok(()) => seen = now,
                // It is in the log.
                Err(_) => sleep(RETRY).await,
            }
        }
    };
    tokio::select! {
        () = follow => {}
        () = shutdown => {}
    }
}
