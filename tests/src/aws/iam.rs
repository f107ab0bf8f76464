//! IAM: the permissions that calls need, the decisions that policies lead to, and least privilege.

pub mod access;
pub mod least_privilege;
pub mod policy;
pub mod role;

pub use access::{Access, Keys};
pub use least_privilege::findings;
pub use policy::{Effect, Statement, allows};
