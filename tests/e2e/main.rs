//! The end-to-end tests. Each suite that takes an [`Env`] runs against every pair of counterparties:
//! `cargo test --workspace --test e2e -- ministack` runs one pair, `… -- races` one suite.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on says where"
)]

mod address_ranges;
mod bad_input;
mod broker;
mod broker_certificates;
mod brokers;
mod cli;
mod contract;
mod crl;
mod crl_faults;
mod crl_publishers;
mod csr;
mod device_keys;
mod events;
mod examples;
mod faults;
mod fleet;
mod local_stack;
mod localstack;
mod metrics;
mod openapi;
mod permissions;
mod policy;
mod races;
mod revocation;
mod rotation;
mod round_trips;
mod start;
mod sync;
mod template;
mod token_changes;

use std::process::ExitCode;
use std::sync::Arc;

use birthcert_tests::counterparties::{Counterparties, Pair};
use futures_util::future::LocalBoxFuture;
use libtest_mimic::{Arguments, Failed, Trial};

/// A test that runs against every pair.
pub(crate) struct Paired {
    name: &'static str,
    run: fn(Arc<Counterparties>, Pair) -> LocalBoxFuture<'static, anyhow::Result<()>>,
}

/// A test that starts what it needs by itself.
pub(crate) struct Alone {
    name: &'static str,
    run: fn() -> LocalBoxFuture<'static, anyhow::Result<()>>,
}

/// Lists tests of the form `async fn name(counterparties: &Counterparties, pair: Pair)`.
macro_rules! paired {
    ($($test:ident),+ $(,)?) => {
        vec![$(crate::Paired {
            name: stringify!($test),
            run: |counterparties, pair| Box::pin(async move { $test(&counterparties, pair).await }),
        }),+]
    };
}
pub(crate) use paired;

/// Lists tests of the form `async fn name()`.
macro_rules! alone {
    ($($test:ident),+ $(,)?) => {
        vec![$(crate::Alone { name: stringify!($test), run: || Box::pin($test()) }),+]
    };
}
pub(crate) use alone;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let counterparties = Arc::new(Counterparties::default());
    let mut trials = Vec::new();

    let paired = [
        ("contract", contract::tests()),
        ("crl", crl::tests()),
        ("crl_faults", crl_faults::tests()),
        ("crl_publishers", crl_publishers::tests()),
        ("bad_input", bad_input::tests()),
        ("broker", broker::tests()),
        ("csr", csr::tests()),
        ("device_keys", device_keys::tests()),
        ("events", events::tests()),
        ("faults", faults::tests()),
        ("metrics", metrics::tests()),
        ("permissions", permissions::tests()),
        ("policy", policy::tests()),
        ("races", races::tests()),
        ("round_trips", round_trips::tests()),
        ("start", start::tests()),
        ("address_ranges", address_ranges::tests()),
        ("fleet", fleet::tests()),
        ("revocation", revocation::tests()),
        ("rotation", rotation::tests()),
        ("token_changes", token_changes::tests()),
    ];
    for (suite, tests) in paired {
        for Paired { name, run } in tests {
            for pair in Pair::ALL {
                let (handle, counterparties) = (runtime.handle().clone(), counterparties.clone());
                trials.push(Trial::test(format!("{suite}::{name}::{}", pair.name()), move || {
                    handle.block_on(run(counterparties, pair)).map_err(failed)
                }));
            }
        }
    }
    let alone = [
        ("aws_iot", brokers::aws_iot::tests()),
        ("broker_certificates", broker_certificates::tests()),
        ("cli", cli::tests()),
        ("crl", crl::tests_alone()),
        ("examples", examples::tests()),
        ("local_stack", local_stack::tests()),
        ("localstack", localstack::tests()),
        ("mosquitto", brokers::mosquitto::tests()),
        ("nats", brokers::nats::tests()),
        ("rabbitmq", brokers::rabbitmq::tests()),
        ("sync_mosquitto", sync::mosquitto::tests()),
        ("sync_alone", sync::alone::tests()),
        ("sync_faults", sync::faults::tests()),
        ("sync_access_list", sync::access_list::tests()),
        ("sync_held_back", sync::held_back::tests()),
        ("sync_trust", sync::trust::tests()),
        ("sync_nats", sync::nats::tests()),
        ("sync_stack", sync::stack::tests()),
        ("sync_rabbitmq", sync::rabbitmq::tests()),
        ("openapi", openapi::tests()),
        ("permissions", permissions::tests_alone()),
        ("template", template::tests()),
    ];
    for (suite, tests) in alone {
        for Alone { name, run } in tests {
            let handle = runtime.handle().clone();
            trials.push(Trial::test(format!("{suite}::{name}"), move || {
                handle.block_on(run()).map_err(failed)
            }));
        }
    }

    let conclusion = libtest_mimic::run(&arguments, trials);
    // Before the exit, which would drop nothing: this stops what was started.
    drop(counterparties);
    drop(runtime);
    conclusion.exit_code()
}

fn failed(error: anyhow::Error) -> Failed {
    format!("{error:#}").into()
}
