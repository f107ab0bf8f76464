//! Output: text for people, JSON and CSV for programs.

pub(crate) mod format;
pub(crate) mod progress;
pub(crate) mod rows;
pub(crate) mod table;
