# `make demo` shows everything at work; `make test` runs every check.
# Both install what they need: Debian packages by name, everything else below target/.

# CI and new checkouts build from scratch, where incremental compilation only costs time.
export CARGO_INCREMENTAL ?= 0
# An error names what failed; a backtrace through fifty frames of futures only pushes it out of sight.
export RUST_LIB_BACKTRACE ?= 0

.PHONY: demo sam-local test check unit mutants e2e faults fuzz functions bench clean

## The whole stack on this machine, and one device from enrollment to MQTT.
demo:
	infra/tools/install-packages curl:curl openssl:openssl jq:jq
	cargo build -p birthcert-local -p birthcert-cli
	infra/local/demo

## The functions in the containers of `sam local`, on the local stack (docs/guides/sam-local.md). Needs Docker.
sam-local:
	cargo build -p birthcert-local
	infra/deploy/sam-local-build
	infra/deploy/sam-local

## Every check: format, lints, the template, unit tests, end-to-end tests, how fast brokers enforce a
## revocation, and the functions as SAM builds them.
test:
	tests/run-all

## Format, layers, import circles, lints, and the documentation's links.
check:
	infra/tools/install-packages python3:python3
	infra/tools/check-layers
	infra/tools/check-import-circles.py $(filter-out tests/fuzz,$(patsubst %/Cargo.toml,%,$(wildcard */Cargo.toml */*/Cargo.toml))) tests/e2e tests/sam
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

## Unit tests; `make unit TEST=serial` runs those with `serial` in their name.
unit:
	cargo test --workspace --lib -- $(TEST)

## Mutation tests of shared/pki, which take an hour; `make mutants FILE=shared/pki/src/lint.rs` runs those of one file.
mutants:
	cargo install --locked --root target/cargo-mutants --version 27.1.0 cargo-mutants
	CARGO_INCREMENTAL=1 target/cargo-mutants/bin/cargo-mutants mutants --package pki --jobs 2 $(if $(FILE),--file $(FILE)) --output target

## End-to-end tests; `make e2e SUITE=races` runs one suite of them.
e2e:
	tests/run-e2e $(SUITE)

## Fault schedules (docs/development/tests.md): `make faults SCHEDULES=100000` runs many, `make faults SEED=7 SCHEDULES=1`
## repeats one.
faults:
	SCHEDULES=$(SCHEDULES) SEED=$(SEED) cargo test --profile emulator -p birthcert-tests --test faults

## Fuzz targets (docs/development/tests.md), ten minutes each; `make fuzz TARGET=csrs SECONDS=60` runs one for a minute.
fuzz:
	tests/fuzz/run $(TARGET) $(SECONDS)

## The functions as they ship, for this machine's architecture.
functions:
	cargo build --release -p crl -p enroll -p identity

## Benchmarks: sizes of the functions, cold starts beside a hello-world, and the time that long CRLs take.
bench: functions
	cargo build --release -p lambda --example hello_world
	cargo build -p birthcert-local
	cargo run -p birthcert-tests --bin cold_start
	cargo run -p birthcert-tests --bin warm
	cargo build --profile emulator -p birthcert-local
	cargo run --profile emulator -p birthcert-tests --bin crl_length

clean:
	cargo clean
