//! Concurrent enrollments with one token, before, during and after a change of that token.

use std::time::Instant;

use anyhow::ensure;
use birthcert_tests::api::{Api, ApiResponse};
use futures_util::future::try_join_all;
use tokio::sync::Notify;

/// Enrollments that start before the change, and that start at the same time as it.
const HALF: u64 = 32;
/// Enrollments that start after the change.
const AFTER: u64 = 8;

/// The enrollments.
pub(super) struct UsesAroundAChange {
    token: String,
    /// The start of each enrollment, and its response.
    uses: Vec<(Instant, ApiResponse)>,
    acknowledged: Instant,
}

impl UsesAroundAChange {
    /// Uses the token. The change begins when the first device is enrolled, so that some enrollments
    /// come before it and others do not.
    pub(super) async fn of(
        api: &Api,
        token: &str,
        change: impl Future<Output = anyhow::Result<()>>,
    ) -> anyhow::Result<Self> {
        let first = Notify::new();
        let enroll = async || {
            let began = Instant::now();
            let response = api.enroll(token).await?;
            first.notify_one();
            anyhow::Ok((began, response))
        };
        let before = try_join_all((0..HALF).map(|_| enroll()));
        let rest = async {
            first.notified().await;
            let during = try_join_all((0..HALF).map(|place| async move {
                tokio::time::sleep(std::time::Duration::from_millis(place)).await;
                enroll().await
            }));
            let change = async {
                change.await?;
                anyhow::Ok(Instant::now())
            };
            let (during, acknowledged) = tokio::try_join!(during, change)?;
            let after = try_join_all((0..AFTER).map(|_| enroll())).await?;
            anyhow::Ok((during, acknowledged, after))
        };
        let (mut uses, (during, acknowledged, after)) = tokio::try_join!(before, rest)?;
        uses.extend(during.into_iter().chain(after));
        Ok(Self { token: token.to_owned(), uses, acknowledged })
    }

    /// Returns the number of enrolled devices.
    pub(super) fn admitted(&self) -> usize {
        self.uses.iter().filter(|(_, response)| response.status == 200).count()
    }

    /// Checks that the token enrolled devices before the change, and none after it, and that all
    /// refusals give this reason.
    pub(super) fn are_refused_after_it(&self, slug: &str, status: u16) -> anyhow::Result<()> {
        for (began, response) in &self.uses {
            if response.status == 200 {
                ensure!(*began < self.acknowledged, "the token enrolled after its change");
            } else {
                response.problem(status, slug, &[&self.token])?;
            }
        }
        let refused = self.uses.len() - self.admitted();
        ensure!(self.admitted() > 0, "no device was enrolled before the change");
        ensure!(refused >= AFTER as usize, "only {refused} refused");
        Ok(())
    }
}
