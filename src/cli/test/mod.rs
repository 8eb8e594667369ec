//! `gatepost test`: rule cases, judged by the engine that serves, with nothing fetched.

mod judge;
mod keys;
mod report;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use self::judge::{Judged, judge};
use self::keys::LocalKeys;
use self::report::Report;
use crate::app::{Providers, gate_parts, memberships_here, profiles_here};
use crate::cli::check::Format;
use crate::cli::offline::local_passwords;
use crate::cli::{EXIT_CONFIG, complain};
use crate::client::tls;
use crate::config::{self, CaseFile, Config, ConfigError, ConfigErrors, SourceFile, Sources};
use crate::gate::{Gate, KeySource};

/// Arguments of `gatepost test`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit code: 0 all as expected, 1 some are not, 78 config or case file cannot be used."
)]
pub struct TestArgs {
    /// Files of cases, TOML; see docs/testing-rules.md
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// The config; without it what `serve` would take
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How the outcome is printed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Judges every case of every file. Exit code 0 if all decisions are the expected ones, 1 if some are not,
/// 78 if config or cases cannot be used.
#[must_use]
pub fn run(args: &TestArgs) -> ExitCode {
    tls::install_crypto_provider();
    let runtime = match tokio::runtime::Builder::new_current_thread().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&format_args!("gatepost: cannot start: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let report = match load(args) {
        Ok((config, files)) => runtime.block_on(judge_all(&config, &files)),
        Err(errors) => Report {
            judged: Vec::new(),
            errors: errors.0,
        },
    };
    let written = match args.format {
        Format::Text => report.print_text(&mut std::io::stdout().lock(), &mut std::io::stderr()),
        Format::Json => report.print_json(&mut std::io::stdout().lock()),
    };
    if !report.errors.is_empty() {
        ExitCode::from(EXIT_CONFIG)
    } else if report.failed() == 0 && written.is_ok() {
        ExitCode::SUCCESS
    } else {
        // an outcome nobody could read is no success
        ExitCode::FAILURE
    }
}

/// The config and all cases, or everything that is wrong with them.
fn load(args: &TestArgs) -> Result<(Config, Vec<CaseFile>), ConfigErrors> {
    let config =
        Sources::read(args.config.as_deref()).and_then(|sources| config::load(&sources))?;
    let mut files = Vec::with_capacity(args.files.len());
    let mut errors = Vec::new();
    for path in &args.files {
        let fix = "name a readable file: gatepost test FILE…";
        let cases = SourceFile::read(path, fix).and_then(|file| CaseFile::load(&file, &config));
        match cases {
            Ok(cases) => files.push(cases),
            Err(wrong) => errors.extend(wrong.0),
        }
    }
    if errors.is_empty() {
        Ok((config, files))
    } else {
        Err(ConfigErrors(errors))
    }
}

async fn judge_all(config: &Config, files: &[CaseFile]) -> Report {
    let mut judged: Vec<Judged> = Vec::new();
    let mut errors: Vec<ConfigError> = Vec::new();
    // without threads to hash no password can be verified, and the case says so
    let passwords = local_passwords(config).unwrap_or_default();
    for file in files {
        let keys = match LocalKeys::read(config, file).await {
            Ok(keys) => Arc::new(keys),
            Err(wrong) => {
                errors.extend(wrong.0);
                continue;
            }
        };
        // no line is logged, so no fingerprint is seen
        let source: Arc<dyn KeySource> = Arc::<LocalKeys>::clone(&keys);
        let providers = Providers {
            keys: source,
            memberships: Arc::new(memberships_here(config)),
            profiles: profiles_here(config),
            passwords: passwords.clone(),
            revocations: None,
        };
        let gate = Gate::new(gate_parts(config, providers, [0; 32]), None);
        for case in &file.cases {
            match judge(&gate, config, &keys, file, case).await {
                Ok(one) => judged.push(one),
                Err(wrong) => errors.extend(wrong.0),
            }
        }
    }
    Report { judged, errors }
}
