//! No secret of a run is anywhere but where it belongs. Every program runs with the most verbose log
//! that an environment can ask for.

mod functions;
mod local_stack;
mod verbose;

pub(crate) use functions::tests;
pub(crate) use local_stack::tests as standalone_tests;
