//! The time in which a certificate is issued.

use std::time::Duration;

use ledger::Deadline;

/// Long enough for every retry of the SDK.
const ISSUANCE_TIME: Duration = Duration::from_secs(30);

/// Returns the time by which an issuance ends, or the command gives up.
pub(super) fn of_issuance() -> Deadline {
    Deadline::after(ISSUANCE_TIME)
}
