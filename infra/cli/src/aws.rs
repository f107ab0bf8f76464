//! Access to AWS, as operators set it up: credentials, region and the stack's table.

pub(crate) mod clock;
pub(crate) mod sdk;
mod stack;
pub(crate) mod table;
