//! `gatepost schema`: the JSON Schema of the configuration, for editors.

use std::io::{self, Write as _};
use std::process::ExitCode;

/// Prints the schema. Exit code 1 if nobody takes it.
#[must_use]
pub fn run() -> ExitCode {
    let mut out = io::stdout().lock();
    let written = serde_json::to_writer_pretty(&mut out, crate::config::schema())
        .map_err(io::Error::from)
        .and_then(|()| writeln!(out));
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(_closed) => ExitCode::FAILURE,
    }
}
