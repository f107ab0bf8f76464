//! The functions as Lambda starts them.

pub mod function;
pub mod runtime_api;
