//! Decides what to trust: certificate chains, CRLs and deny lists, verified against the pinned
//! roots.

mod authorities;
mod authority;
mod candidate;
mod chain;
mod context;
mod denied_devices;
mod installed_crls;
mod roots;

pub(crate) use authorities::Authorities;
pub(crate) use authority::Authority;
pub(crate) use context::TrustContext;
pub(crate) use denied_devices::DeniedDevices;
pub(crate) use roots::load_roots;
