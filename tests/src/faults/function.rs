//! Invocations of the functions, as Lambda runs them: on a warm instance or after a cold start, one
//! request at a time, until an answer, a time-out or a sudden end.

use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use crate::faults::fault::Fault;

/// A function's role in template.yaml.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    Enroll,
    Identity,
    Crl,
}

tokio::task_local! {
    static CALLER: Caller;
}

/// Somebody who calls AWS.
#[derive(Clone)]
pub(super) struct Caller {
    pub(super) name: String,
    /// The function's role; none for operators.
    pub(super) role: Option<Role>,
    pub(super) fate: Arc<Fate>,
}

impl Caller {
    /// Returns the caller of this task: a function, or an operator.
    pub(super) fn current() -> Self {
        let operator = || Self { name: "operator".into(), role: None, fate: Arc::default() };
        CALLER.try_with(Self::clone).unwrap_or_else(|_| operator())
    }

    /// Runs the work of an operator of this name.
    pub(super) async fn operate<T>(name: String, work: impl Future<Output = T>) -> T {
        CALLER.scope(Self { name, role: None, fate: Arc::default() }, work).await
    }

    /// Remembers that a fault hit the caller. The counts in the store are in doubt if nobody can tell
    /// whether a write was carried out, or if a write after the one that counts was not.
    pub(super) fn hit(&self, fault: Fault, is_store: bool, is_update: bool) {
        let has_counted = self.fate.has_counted.load(Ordering::Relaxed);
        let is_in_doubt = is_store && (!fault.is_definite() || has_counted && is_update);
        if is_in_doubt || fault.is_interruption() {
            self.fate.doubts.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Remembers that the caller updated the store.
    pub(super) fn updated(&self) {
        self.fate.has_counted.store(true, Ordering::Relaxed);
    }
}

/// The events that end or interrupt an invocation between its calls.
#[derive(Default)]
pub(super) struct Fate {
    killed: Notify,
    freeze: Mutex<Option<Duration>>,
    frozen: Mutex<Duration>,
    has_counted: AtomicBool,
    doubts: AtomicU32,
}

impl Fate {
    /// Ends the invocation. Never returns.
    pub(super) async fn kill<T>(&self) -> T {
        self.killed.notify_one();
        std::future::pending().await
    }

    /// Freezes the invocation, and returns once it is thawed.
    pub(super) async fn freeze(&self, time: Duration) {
        *self.freeze.lock().unwrap() = Some(time);
        *self.frozen.lock().unwrap() += time;
        // The first poll after this one is after the thaw.
        tokio::task::yield_now().await;
    }

    /// Completes when the invocation ran for `limit`, apart from the time that it was frozen.
    async fn out_of_time(&self, limit: Duration) {
        let start = Instant::now();
        loop {
            let end = start + limit + *self.frozen.lock().unwrap();
            if Instant::now() >= end {
                return;
            }
            sleep_until(end).await;
        }
    }

    /// Runs `work`, except while it is frozen.
    async fn run<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        let mut thaw: Option<std::pin::Pin<Box<Sleep>>> = None;
        poll_fn(move |context| {
            loop {
                if let Some(sleep) = &mut thaw {
                    if sleep.as_mut().poll(context).is_pending() {
                        return Poll::Pending;
                    }
                    thaw = None;
                }
                let polled = work.as_mut().poll(context);
                match self.freeze.lock().unwrap().take() {
                    Some(time) if polled.is_pending() => thaw = Some(Box::pin(sleep(time))),
                    _ => return polled,
                }
            }
        })
        .await
    }
}

/// The end of an invocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End<T> {
    /// The function answered.
    Answered(T),
    /// The function was killed.
    Killed,
    /// The function did not answer in time, and Lambda ended it.
    OutOfTime,
    /// The function panicked.
    Panicked,
}

/// An invocation that ended.
pub(super) struct Invocation<T> {
    pub(super) end: End<T>,
    /// The number of faults, the end itself included, that leave open what was written.
    pub(super) doubts: u32,
}

/// Invokes a function.
pub(super) async fn invoke<T>(
    name: String,
    role: Role,
    limit: Duration,
    work: impl Future<Output = T>,
) -> Invocation<T> {
    let fate = Arc::new(Fate::default());
    let caller = Caller { name, role: Some(role), fate: fate.clone() };
    let work = fate.run(AssertUnwindSafe(CALLER.scope(caller, work)).catch_unwind());
    let end = tokio::select! {
        // In this order, because the usual order is random.
        biased;
        () = fate.killed.notified() => End::Killed,
        () = fate.out_of_time(limit) => End::OutOfTime,
        ended = work => match ended {
            Ok(answer) => End::Answered(answer),
            Err(_) => End::Panicked,
        },
    };
    let is_interrupted = !matches!(end, End::Answered(_));
    let doubts = fate.doubts.load(Ordering::Relaxed) + u32::from(is_interrupted);
    Invocation { end, doubts }
}

/// The warm instances of a function. An instance serves one request at a time.
pub(super) struct Instances<T>(Mutex<Vec<Arc<T>>>);

impl<T> Instances<T> {
    pub(super) fn new() -> Self {
        Self(Mutex::default())
    }

    /// Serves a request with a warm instance, or with one that `start` creates. An instance that does
    /// not finish is lost.
    ///
    /// # Errors
    /// If the function does not start.
    pub(super) async fn serve<A, E, F: Future<Output = A>>(
        &self,
        start: impl Future<Output = Result<T, E>>,
        serve: impl FnOnce(Arc<T>) -> F,
    ) -> Result<A, E> {
        let warm = self.0.lock().unwrap().pop();
        let instance = match warm {
            Some(instance) => instance,
            None => Arc::new(start.await?),
        };
        let answer = serve(instance.clone()).await;
        self.0.lock().unwrap().push(instance);
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(20);

    async fn end(work: impl AsyncFnOnce(Arc<Fate>) -> u32) -> End<u32> {
        let work = async { work(Caller::current().fate).await };
        invoke("test".into(), Role::Identity, LIMIT, work).await.end
    }

    #[tokio::test(start_paused = true)]
    async fn an_invocation_ends_by_an_answer_a_kill_a_panic_or_its_time() {
        assert_eq!(end(async |_| 7).await, End::Answered(7));
        assert_eq!(end(async |fate| fate.kill().await).await, End::Killed);
        assert_eq!(end(async |_| std::future::pending().await).await, End::OutOfTime);
        assert_eq!(end(async |_| std::panic::resume_unwind(Box::new(()))).await, End::Panicked);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_runs_while_an_invocation_is_frozen() {
        let start = Instant::now();
        let frozen = Duration::from_secs(300);
        let ended = end(async |fate| {
            let mut late = pin!(sleep(Duration::from_secs(1)));
            let freeze = async {
                fate.freeze(frozen).await;
                assert!(start.elapsed() >= frozen, "it went on");
            };
            tokio::join!(freeze, late.as_mut());
            // The freeze does not count towards the time limit.
            sleep(Duration::from_secs(10)).await;
            7
        })
        .await;
        assert_eq!(ended, End::Answered(7));
        assert!(start.elapsed() < frozen + LIMIT);
    }
}
