//! Revocation, on the ledger and in published CRLs.

pub(crate) mod crl;
pub(crate) mod crl_damage;
pub(crate) mod crl_faults;
pub(crate) mod crl_lag;
pub(crate) mod crl_publishers;
pub(crate) mod damaged_items;
pub(crate) mod holds;
pub(crate) mod ledger;
