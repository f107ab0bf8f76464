//! The deadline of a request.

use std::{future::Future, time::Duration};

use tokio::time::{Instant, timeout_at};

use crate::error::{Error, Result};

/// The time by which a request must be answered. Calls to AWS that would end later are abandoned.
///
/// Measured by the monotonic clock, so that setting the system's clock does not move it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// Returns the deadline that is `time` from now.
    #[must_use]
    pub fn after(time: Duration) -> Self {
        Self(Instant::now() + time)
    }

    /// Returns the deadline of a step that leaves `reserve` for the steps that follow it.
    #[must_use]
    pub fn leaving(self, reserve: Duration) -> Self {
        // An Instant cannot lie before the start of the clock.
        Self(self.0.checked_sub(reserve).unwrap_or_else(Instant::now))
    }

    /// Runs `step` until the deadline. A step that would begin after the deadline is not begun.
    ///
    /// # Errors
    /// If the step fails or does not end in time. Then what it asked AWS for may have happened or not.
    pub async fn bound<T, E: From<Error>>(
        self,
        step: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        if Instant::now() >= self.0 {
            return Err(Error::OutOfTime.into());
        }
        match timeout_at(self.0, step).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Error::OutOfTime.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_step_ends_with_its_deadline_and_begins_only_before() {
        let deadline = Deadline::after(Duration::from_millis(50));
        assert!(matches!(deadline.bound(async { Ok::<_, Error>(1) }).await, Ok(1)));
        let hangs = std::future::pending::<Result<()>>();
        assert!(matches!(deadline.bound(hangs).await, Err(Error::OutOfTime)));
        let past = Deadline::after(Duration::from_secs(3)).leaving(Duration::from_secs(3));
        let begun = async { panic!("a step began after its deadline") };
        assert!(matches!(past.bound::<(), Error>(begun).await, Err(Error::OutOfTime)));
    }
}
