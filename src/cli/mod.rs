//! The commands of `gatepost`, each in its own file: arguments in, exit code out.

use std::process::ExitCode;

/// Exit code of a config error: `EX_CONFIG` of sysexits.h.
pub const EXIT_CONFIG: u8 = 78;

/// Reads the arguments and runs the command. Prints usage and exits 2 if they are wrong.
#[must_use]
pub fn run() -> ExitCode {
    ExitCode::SUCCESS
}
