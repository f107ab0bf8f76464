//! Projects: a fleet, and the policy for its certificates.

pub(in crate::store) mod changes;
pub(in crate::store) mod policy;
pub(in crate::store) mod record;

pub use changes::{ProjectChanges, ProjectTerms};
pub use policy::{Policy, PolicyError, PolicyTerms};
pub use record::ProjectRecord;
