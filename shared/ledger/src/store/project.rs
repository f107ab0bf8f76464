//! Projects: fleets of devices, each with a policy for its certificates.

pub(super) mod changes;
pub(super) mod policy;
pub(super) mod record;

pub use changes::{ProjectChanges, ProjectTerms};
pub use policy::{Policy, PolicyError, PolicyTerms};
pub use record::ProjectRecord;
