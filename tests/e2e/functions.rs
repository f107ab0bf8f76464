//! The functions: starts, events, metrics, calls to AWS and their faults.

pub(crate) mod cut_off;
pub(crate) mod events;
pub(crate) mod faults;
pub(crate) mod metrics;
pub(crate) mod renewals;
pub(crate) mod round_trips;
pub(crate) mod start;
