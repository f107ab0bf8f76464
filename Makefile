# `make demo` shows everything at work; `make test` runs every check there is.
# Both install what they need: Debian packages by name, the rest below target/.

# CI and new checkouts build from nothing, where incremental compilation only costs.
export CARGO_INCREMENTAL ?= 0
# An error names what failed; fifty frames of futures after it only push it out of sight.
export RUST_LIB_BACKTRACE ?= 0

.PHONY: demo sam-local test check functions bench clean

## The whole stack on this machine, and one device from enrollment to MQTT.
demo:
	infra/install-packages curl:curl openssl:openssl jq:jq
	cargo build -p birthcert-local -p birthcert-cli
	infra/local/demo

## The functions in the containers of `sam local`, on the local stack (docs/sam-local.md). Needs Docker.
sam-local:
	cargo build -p birthcert-local
	infra/sam-local-build
	infra/sam-local

## Format, lints, the template, unit tests, the end-to-end tests, how fast a revocation is at the brokers, and the
## functions as SAM builds them.
test: check
	infra/template-checks
	tests/install-tools
	cargo build --workspace --all-targets
	cargo test --workspace --lib
	cargo test --workspace --test e2e
	$${CARGO_TARGET_DIR:-target}/debug/revocation_latency
	tests/run-sam

check:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings

## The functions as they ship, for this machine's architecture.
functions:
	cargo build --release -p crl -p enroll -p identity

## The functions' sizes, their cold starts beside a hello-world, and what long CRLs take.
bench: functions
	cargo build --release -p birthcert --features lambda --example hello_world
	cargo build -p birthcert-local
	cargo run -p birthcert-tests --bin cold_start
	cargo run -p birthcert-tests --bin warm
	cargo build --profile beside -p birthcert-local
	cargo run --profile beside -p birthcert-tests --bin lists

clean:
	cargo clean
