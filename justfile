# The recipes people type. `just` alone lists them.

_default:
    @just --list

# The two-minute start: an issuer, an upstream and every plane, on loopback.
dev:
    cargo run --locked -- dev

# The whole test suite, counterparts included; arguments go to the test runner.
test *arguments:
    scripts/test {{ arguments }}

# The slow suite: MLflow, server and client. The first run installs it (1 GB).
slow *arguments:
    scripts/slow {{ arguments }}

# Formatting, lints, documentation.
lint:
    cargo fmt --check
    cargo clippy --all-targets --locked -- -D warnings
    RUSTDOCFLAGS=-Dwarnings cargo doc --no-deps --locked

fmt:
    cargo fmt

doc:
    cargo doc --no-deps --locked --open

# Microbenchmarks of the decision path.
bench *arguments:
    cargo bench --locked {{ arguments }}

# Gatepost beside its peers on this machine (bench/README.md).
bench-peers *arguments:
    bench/run {{ arguments }}

# What is shipped, compiled by how it runs: target/shipped/gatepost.
dist *arguments:
    scripts/dist {{ arguments }}

# Binary size, memory and start time of a release build.
measure:
    scripts/measure

# What CI runs.
ci:
    .ci/run

# The container image.
image tag="gatepost":
    docker build --tag {{ tag }} .
