//! Arguments → command → exit code.

use std::process::ExitCode;

/// Measured against glibc's and jemalloc: docs/performance.md.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    gatepost::cli::run()
}
