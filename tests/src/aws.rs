//! AWS: emulators, the faults of its services, and what template.yaml grants.

pub mod cloudformation;
pub mod dynamodb_local;
pub mod emulators;
pub mod iam;
pub mod localstack;
pub mod ministack;
pub mod proxy;
pub mod template;
