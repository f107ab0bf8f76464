//! The kinds of faults, and the plan that says which call is hit.

use std::time::Duration;

use http::HeaderMap;
use tokio::time::Instant;

use crate::faults::random::Random;

/// A service of AWS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    DynamoDb,
    Kms,
    S3,
}

/// A fault of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The call is carried out late.
    Slow(Duration),
    /// The connection breaks before the call arrives.
    RequestLost,
    /// The call is carried out, and the connection breaks before the answer.
    AnswerLost,
    /// The call does not arrive, and no answer comes.
    Hangs,
    /// No answer comes, and the call is carried out when the caller may have given up.
    CarriedOutLate(Duration),
    /// Half of the answer arrives.
    Truncated,
    /// The call arrives twice.
    Twice,
    /// AWS throttles the call.
    Throttled,
    /// AWS fails with a status of 500.
    ServerError,
    /// DynamoDB is carrying out a transaction with one of the items, or S3 another write to the
    /// object.
    Conflict,
    /// DynamoDB is still carrying out this very transaction.
    InProgress,
    /// DynamoDB cancels the transaction because it throttles one of its writes.
    CancelledForThrottling,
    /// The function ends before the call.
    KilledBefore,
    /// The function ends after the call was carried out, before the answer.
    KilledAfter,
    /// The function is frozen after it sent the call, and goes on with dead connections.
    Frozen(Duration),
    /// The function panics.
    Panics,
}

impl Fault {
    /// Returns true if the answer says that the call was not carried out.
    pub(super) fn is_definite(self) -> bool {
        matches!(self, Self::Throttled | Self::Conflict | Self::CancelledForThrottling)
    }

    /// Returns true if this hits the function, and not only one of its calls.
    pub(super) fn is_interruption(self) -> bool {
        matches!(self, Self::KilledBefore | Self::KilledAfter | Self::Frozen(_) | Self::Panics)
    }
}

/// The kinds of faults. [`Plan::fault`] draws the durations.
const KINDS: [Fault; 16] = [
    Fault::Slow(Duration::ZERO),
    Fault::RequestLost,
    Fault::AnswerLost,
    Fault::Hangs,
    Fault::CarriedOutLate(Duration::ZERO),
    Fault::Truncated,
    Fault::Twice,
    Fault::Throttled,
    Fault::ServerError,
    Fault::Conflict,
    Fault::InProgress,
    Fault::CancelledForThrottling,
    Fault::KilledBefore,
    Fault::KilledAfter,
    Fault::Frozen(Duration::ZERO),
    Fault::Panics,
];

/// A call, as far as the plan looks at it.
pub(super) struct Target<'a> {
    pub(super) service: Service,
    pub(super) operation: &'a str,
    pub(super) headers: &'a HeaderMap,
    /// True if a function makes the call, which may be interrupted.
    pub(super) is_by_function: bool,
}

impl Target<'_> {
    fn admits(&self, kind: Fault) -> bool {
        let is_transaction = self.operation == "TransactWriteItems";
        match kind {
            Fault::Conflict => match self.service {
                Service::DynamoDb => {
                    is_transaction
                        || matches!(self.operation, "PutItem" | "UpdateItem" | "DeleteItem")
                }
                Service::S3 => {
                    self.headers.contains_key("if-match")
                        || self.headers.contains_key("if-none-match")
                }
                Service::Kms => false,
            },
            Fault::InProgress | Fault::CancelledForThrottling => is_transaction,
            Fault::KilledBefore | Fault::KilledAfter | Fault::Frozen(_) | Fault::Panics => {
                self.is_by_function
            }
            // An answer to HEAD has no body.
            Fault::Truncated => self.operation != "HeadObject",
            _ => true,
        }
    }
}

/// Says which calls are hit, and how.
pub(super) struct Plan {
    random: Random,
    percent: u64,
    kinds: Vec<Fault>,
    /// A service that is away, and since when and until when.
    outage: Option<(Service, Instant, Instant)>,
    /// The largest lag of an index behind its table, in milliseconds.
    lag: u64,
    is_over: bool,
}

impl Plan {
    /// Returns a plan without faults, for what precedes the schedule.
    pub(super) fn calm() -> Self {
        let random = Random::new(0, 0);
        Self { random, percent: 0, kinds: Vec::new(), outage: None, lag: 0, is_over: true }
    }

    /// Draws a plan: how often calls fail, some kinds of faults, and sometimes an outage. A plan of
    /// few kinds reaches further than one with all of them.
    pub(super) fn draw(mut random: Random) -> Self {
        let percent = random.pick(&[2, 5, 10, 20]);
        let mut kinds: Vec<Fault> = Vec::new();
        for _ in 0..random.pick(&[1, 3, 6, 12]) {
            kinds.push(random.pick(&KINDS));
        }
        let outage = random.chance(40).then(|| {
            let service =
                random.pick(&[Service::DynamoDb, Service::Kms, Service::Kms, Service::S3]);
            let from = Instant::now() + random.millis(0, 4_000);
            (service, from, from + random.millis(1_000, 120_000))
        });
        let lag = random.pick(&[0, 500, 2_500, 2_500]);
        Self { random, percent, kinds, outage, lag, is_over: false }
    }

    /// Ends all faults, and the lag of indexes.
    pub(super) fn end(&mut self) {
        self.is_over = true;
    }

    /// Returns the time that a call takes on its way.
    pub(super) fn latency(&mut self) -> Duration {
        self.random.millis(1, 9)
    }

    /// Returns the lag of the index that answers a query.
    pub(super) fn lag(&mut self) -> Duration {
        if self.is_over || self.lag == 0 || self.random.chance(40) {
            return Duration::ZERO;
        }
        self.random.millis(0, self.lag)
    }

    /// Returns a place below `end`.
    pub(super) fn place(&mut self, end: usize) -> usize {
        self.random.below(end.max(1) as u64) as usize
    }

    /// Returns the fault that hits this call, if any.
    pub(super) fn fault(&mut self, call: &Target<'_>) -> Option<Fault> {
        if self.is_over {
            return None;
        }
        let now = Instant::now();
        if self
            .outage
            .is_some_and(|(service, from, to)| service == call.service && from <= now && now < to)
        {
            return Some(Fault::ServerError);
        }
        if !self.random.chance(self.percent) {
            return None;
        }
        let kind = self.random.pick(&self.kinds);
        call.admits(kind).then(|| self.of(kind))
    }

    /// Draws the duration of a fault of this kind, if it has one.
    fn of(&mut self, kind: Fault) -> Fault {
        match kind {
            Fault::Slow(_) => Fault::Slow(self.random.millis(50, 4_000)),
            Fault::CarriedOutLate(_) => Fault::CarriedOutLate(self.random.millis(500, 6_000)),
            Fault::Frozen(_) => Fault::Frozen(self.random.millis(1_000, 600_000)),
            other => other,
        }
    }
}
