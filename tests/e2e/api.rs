//! The HTTP API, as devices see it.

pub(crate) mod address_ranges;
pub(crate) mod bad_input;
pub(crate) mod contract;
pub(crate) mod csr;
pub(crate) mod device_keys;
pub(crate) mod openapi;
pub(crate) mod policy;
pub(crate) mod races;
pub(crate) mod token_changes;
mod uses_around_a_change;
