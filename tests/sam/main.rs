//! The functions as `sam build` makes them. `tests/run-sam` builds them, starts their
//! counterparties and runs these tests; `tests/run-sam arm64` runs one suite.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on says where"
)]

mod arm64;
mod local;
mod repository;

use std::future::Future;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    let trials = vec![
        trial("arm64::the_functions_give_a_device_its_identity", arm64::identity),
        trial("arm64::the_functions_need_no_newer_c_library", arm64::c_library),
        trial("local::start_api_gives_a_device_its_identity", local::identity),
        trial("local::start_api_answers_as_the_gateway_does", local::answers),
        trial("local::invoke_answers_every_event", local::events),
    ];
    let mut arguments = Arguments::from_args();
    // SAM runs one container per function, whose runtime takes one event at a time.
    arguments.test_threads = Some(1);
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trial<F>(name: &str, test: fn() -> F) -> Trial
where
    F: Future<Output = anyhow::Result<()>> + 'static,
{
    Trial::test(name, move || {
        let runtime = tokio::runtime::Runtime::new()?;
        runtime.block_on(test()).map_err(|error| format!("{error:#}").into())
    })
}
