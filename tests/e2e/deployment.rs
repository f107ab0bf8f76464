//! template.yaml, its roles, and the deployment to LocalStack.

pub(crate) mod localstack;
pub(crate) mod permissions;
pub(crate) mod template;
