//! The end-to-end tests. Each suite that takes an [`Env`] runs against every backend: `cargo test
//! --workspace --test e2e -- ministack` runs one backend, `… -- races` one suite.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on says where"
)]

mod agent;
mod api;
mod brokers;
mod cli;
mod deployment;
mod examples;
mod functions;
mod harness;
mod items;
mod local_stack;
mod revocation;
mod rotation;
mod secrets;
mod suite;

use std::process::ExitCode;
use std::sync::Arc;

use birthcert_tests::aws::emulators::{Backend, Emulators};
use libtest_mimic::{Arguments, Failed, Trial};

use crate::suite::{BackendTest, StandaloneTest};

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let emulators = Arc::new(Emulators::default());
    let mut trials = Vec::new();

    let per_backend = [
        ("contract", api::contract::tests()),
        ("cut_off", functions::cut_off::tests()),
        ("crl", revocation::crl::tests()),
        ("crl_damage", revocation::crl_damage::tests()),
        ("damaged_items", revocation::damaged_items::tests()),
        ("crl_faults", revocation::crl_faults::tests()),
        ("crl_lag", revocation::crl_lag::tests()),
        ("crl_publishers", revocation::crl_publishers::tests()),
        ("bad_input", api::bad_input::tests()),
        ("broker", brokers::root_trust::tests()),
        ("csr", api::csr::tests()),
        ("device_keys", api::device_keys::tests()),
        ("events", functions::events::tests()),
        ("faults", functions::faults::tests()),
        ("metrics", functions::metrics::tests()),
        ("permissions", deployment::permissions::tests()),
        ("policy", api::policy::tests()),
        ("races", api::races::tests()),
        ("renewals", functions::renewals::tests()),
        ("round_trips", functions::round_trips::tests()),
        ("start", functions::start::tests()),
        ("address_ranges", api::address_ranges::tests()),
        ("fleet", cli::fleet::tests()),
        ("holds", revocation::holds::tests()),
        ("lists", cli::lists::tests()),
        ("revocation", revocation::ledger::tests()),
        ("rotation", rotation::tests()),
        ("secrets", secrets::tests()),
        ("token_changes", api::token_changes::tests()),
    ];
    for (suite, tests) in per_backend {
        for BackendTest { name, run } in tests {
            for backend in Backend::ALL {
                let (handle, emulators) = (runtime.handle().clone(), emulators.clone());
                trials
                    .push(Trial::test(format!("{suite}::{name}::{}", backend.name()), move || {
                        handle.block_on(run(emulators, backend)).map_err(failed)
                    }));
            }
        }
    }
    let standalone = [
        ("aws_iot", brokers::aws_iot::tests()),
        ("broker_certificates", brokers::certificates::tests()),
        ("root_changes", brokers::root_changes::tests()),
        ("cli", cli::tests()),
        ("crl", revocation::crl::standalone_tests()),
        ("examples", examples::tests()),
        ("mqtt_clients", harness::mqtt_clients::tests()),
        ("local_stack", local_stack::tests()),
        ("localstack", deployment::localstack::tests()),
        ("mosquitto", brokers::mosquitto::tests()),
        ("nats", brokers::nats::tests()),
        ("rabbitmq", brokers::rabbitmq::tests()),
        ("sync_mosquitto", agent::mosquitto::tests()),
        ("sync_alone", agent::standalone::tests()),
        ("sync_faults", agent::faults::tests()),
        ("sync_access_list", agent::access_list::tests()),
        ("sync_held_back", agent::held_back::tests()),
        ("sync_trust", agent::trust::tests()),
        ("sync_nats", agent::nats::tests()),
        ("sync_stack", agent::stack::tests()),
        ("sync_rabbitmq", agent::rabbitmq::tests()),
        ("openapi", api::openapi::tests()),
        ("permissions", deployment::permissions::standalone_tests()),
        ("secrets", secrets::standalone_tests()),
        ("template", deployment::template::tests()),
    ];
    for (suite, tests) in standalone {
        for StandaloneTest { name, run } in tests {
            let handle = runtime.handle().clone();
            trials.push(Trial::test(format!("{suite}::{name}"), move || {
                handle.block_on(run()).map_err(failed)
            }));
        }
    }

    let conclusion = libtest_mimic::run(&arguments, trials);
    // Exiting drops nothing: the emulators stop here.
    drop(emulators);
    drop(runtime);
    conclusion.exit_code()
}

fn failed(error: anyhow::Error) -> Failed {
    format!("{error:#}").into()
}
