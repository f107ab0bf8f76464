//! Options that several commands have.

pub(crate) mod confirm;
pub(crate) mod global;
pub(crate) mod project;
pub(crate) mod root;
pub(crate) mod secret;
pub(crate) mod time;
