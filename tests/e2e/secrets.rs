//! No secret of a run is anywhere but where it belongs. Every program runs with the most verbose log
//! that an environment can ask for.

mod functions;
mod local_stack;

pub(crate) use functions::tests;
pub(crate) use local_stack::tests as standalone_tests;

/// Asks every library that a program could contain for its most verbose log.
const VERBOSE: [(&str, &str); 4] = [
    ("RUST_LOG", "trace"),
    ("RUST_BACKTRACE", "full"),
    ("AWS_LAMBDA_LOG_LEVEL", "TRACE"),
    ("AWS_LAMBDA_LOG_FORMAT", "JSON"),
];
