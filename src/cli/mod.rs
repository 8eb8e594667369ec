//! The commands of `gatepost`, each in its own file: arguments in, exit code out.

pub mod check;
pub mod dev;
pub mod doctor;
pub mod explain;
pub mod health;
mod offline;
pub mod schema;
pub mod serve;
pub mod test;
pub mod token;
mod token_file;

use std::fmt;
use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Exit code of a config error: `EX_CONFIG` of sysexits.h.
pub const EXIT_CONFIG: u8 = 78;

/// Authentication sidecar and forward-auth server.
#[derive(Debug, Parser)]
#[command(name = "gatepost", version, about, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the planes the config names
    Serve(serve::ServeArgs),
    /// Try everything on this machine: an embedded issuer, an echo upstream and all planes
    Dev(dev::DevArgs),
    /// Check a config: every error at once, then warnings
    Check(check::CheckArgs),
    /// Explain one decision, step by step
    Explain(explain::ExplainArgs),
    /// Judge rule cases and tell where a decision is not the expected one
    Test(test::TestArgs),
    /// Fetch the token of a credential source and describe it
    Token(token::TokenArgs),
    /// Play the impostor before your proxy and tell what gets through to the app
    Doctor(doctor::DoctorArgs),
    /// Exit 0 if a running Gatepost is alive (or ready), 1 if not; prints nothing
    Health(health::HealthArgs),
    /// Print the JSON Schema of the config
    Schema,
}

/// Says on standard error what went wrong.
fn complain(text: &dyn fmt::Display) {
    // with standard error closed there is nobody left to tell; the exit code still does
    let _lost = writeln!(io::stderr(), "{text}");
}

/// Reads the arguments and runs the command. Prints usage and exits 2 if they are wrong.
#[must_use]
pub fn run() -> ExitCode {
    match Arguments::parse().command {
        Command::Serve(args) => serve::run(&args),
        Command::Dev(args) => dev::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Test(args) => test::run(&args),
        Command::Token(args) => token::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Health(args) => health::run(&args),
        Command::Schema => schema::run(),
    }
}
