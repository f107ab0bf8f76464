//! Decides what to trust: certificate chains, CRLs and deny lists, verified against the pinned
//! roots.

mod authorities;
mod candidate;
mod chain;
mod context;
mod denied_devices;
mod installed_crls;
mod roots;
mod verified_ca;

pub(crate) use authorities::Authorities;
pub(crate) use chain::Chain;
pub(crate) use context::TrustContext;
pub(crate) use denied_devices::DeniedDevices;
pub(crate) use roots::load_roots;
pub(crate) use verified_ca::VerifiedCa;
